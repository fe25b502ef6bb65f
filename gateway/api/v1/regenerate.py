"""Generate the Python side of the .proto files: `make proto`, or `python -m gateway.api.v1.regenerate [DIR]`.

Needs the `test` extra (grpcio-tools). The generated files are committed, so that installing needs no compiler; a
test runs this into an empty directory and compares.
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[2]


def regenerate(target: Path) -> list[Path]:
    """Write messages, type stubs and service bases below `target`, laid out as in the source tree."""
    from grpc_tools import protoc

    sources = sorted(HERE.glob("*.proto"))
    well_known = Path(protoc.__file__).parent / "_proto"
    command = [
        "protoc",
        f"-I{ROOT}",
        f"-I{well_known}",
        f"--plugin=protoc-gen-grpclib_python={_plugin()}",
        *(f"--{kind}_out={target}" for kind in ("python", "pyi", "grpclib_python")),
        *(str(source.relative_to(ROOT)) for source in sources),
    ]
    if protoc.main(command) != 0:
        raise SystemExit("protoc failed; its messages are above.")
    _drop_empty(target / HERE.relative_to(ROOT))
    return generated_in(target / HERE.relative_to(ROOT))


def generated_in(folder: Path) -> list[Path]:
    """The generated files of a folder."""
    return sorted(path for kind in ("*_pb2.py", "*_pb2.pyi", "*_grpc.py") for path in folder.glob(kind))


def _plugin() -> Path:
    """grpclib's plugin is installed next to the interpreter."""
    plugin = Path(sys.executable).parent / "protoc-gen-grpclib_python"
    if not plugin.exists():
        raise SystemExit(f"{plugin} is missing; install grpclib into this environment.")
    return plugin


def _drop_empty(folder: Path) -> None:
    """The plugin writes a file for .proto files without services, too: three lines of comment."""
    for generated in folder.glob("*_grpc.py"):
        if "class " not in generated.read_text():
            generated.unlink()


if __name__ == "__main__":
    regenerate(Path(sys.argv[1]) if sys.argv[1:] else ROOT)
