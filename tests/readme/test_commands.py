"""What the READMEs tell a person to type works as it stands there.

The `sh` blocks of a README run in their order, as one script, in a scratch copy of the house, with `oclaw` and
`python` being the ones under test. The top README's begin with `make run`, which here is what make does after
installing.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.ports import held_port

HOUSE = Path(__file__).parents[2]
READMES = sorted(
    path
    for path in HOUSE.rglob("README.md")
    if not {".venv", "demo", "build", ".git"} & set(path.relative_to(HOUSE).parts)
)
SH = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# Lines that are not typed here, and why.
NOT_RUN = {
    "python tests/bench/grpc_bench.py": "a minute of full load; make bench runs it",
}
# Where the daemon is started: what `make run` does once everything is installed.
MAKE_RUN = """
oclaw init demo
sed -i "s|:8420|:$PORT|" demo/oclaw.toml
oclaw run --config demo 2>daemon.log & daemon=$!
trap 'kill $daemon; wait $daemon || true' EXIT
tries=0
until oclaw status --config demo >/dev/null 2>&1; do
    tries=$((tries + 1)); test $tries -lt 300 || { cat daemon.log; exit 1; }
    sleep 0.1
done
"""


def blocks(readme: Path) -> list[str]:
    return SH.findall(readme.read_text("utf-8"))


def script(readme: Path, port: int) -> str:
    lines = "".join(blocks(readme)).splitlines()
    # What begins with pytest is run by the suite that this stands in.
    wanted = [line for line in lines if line not in NOT_RUN and not line.startswith("python -m pytest ")]
    kept = [MAKE_RUN if line == "make run" else line for line in wanted]
    return "set -eu\n" + "\n".join(kept).replace("127.0.0.1:8420/", f"127.0.0.1:{port}/") + "\n"


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A copy of the house in a folder of its own, with `oclaw` and `python` in bin/."""
    with tempfile.TemporaryDirectory(prefix="oclaw-") as made:
        copy = Path(made) / "house"
        unwanted = shutil.ignore_patterns(".git", ".venv", "__pycache__", "demo", "build", "*.egg-info", ".hypothesis")
        shutil.copytree(HOUSE, copy, ignore=unwanted)
        tools = Path(made) / "bin"
        tools.mkdir()
        # -P: modules come from the house under test, whose byte code is compiled already, not from the copy.
        for name, command in {"oclaw": "-P -m gateway.cli", "python": ""}.items():
            tool = tools / name
            tool.write_text(f'#!/bin/sh\nexec {sys.executable} {command} "$@"\n')
            tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
        yield copy


@pytest.mark.parametrize(
    "readme", [path for path in READMES if blocks(path)], ids=lambda path: str(path.relative_to(HOUSE))
)
def test_every_command_works(readme: Path, scratch: Path) -> None:
    missing = [tool for tool in ("curl", "openssl") if tool in script(readme, 0) and shutil.which(tool) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} would be needed")
    with held_port() as port:
        done = run(script(readme, port), scratch, port)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def run(commands: str, scratch: Path, port: int) -> subprocess.CompletedProcess[str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("OCLAW_", "XDG_"))}
    environment = {
        **ours,
        "PATH": f"{scratch.parent / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(HOUSE),
        "PORT": str(port),
        "STATE_DIRECTORY": str(scratch.parent / "state"),
        "RUNTIME_DIRECTORY": str(scratch.parent / "run"),
    }
    command = ["sh", "-x", "-c", commands]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=scratch, env=environment, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    ) as process:
        try:
            output, said = process.communicate()
            return subprocess.CompletedProcess(command, process.returncode, output, said)
        finally:  # also when the test was over its limit: no daemon may outlive it
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def test_what_is_not_run_still_stands_somewhere() -> None:
    lines = {line for readme in READMES for block in blocks(readme) for line in block.splitlines()}
    assert set(NOT_RUN) <= lines


@pytest.mark.parametrize("readme", READMES, ids=lambda path: str(path.relative_to(HOUSE)))
def test_every_link_leads_somewhere(readme: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", readme.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\[[^\]]*\]\(([^)\s#]+)[^)]*\)", text):
        if "://" not in target:
            assert (readme.parent / target).exists(), target


@pytest.mark.parametrize("folder", ["", "gateway", "protocols", "rules", "tests", "conf", "systemd"])
def test_every_folder_of_the_house_tells_what_lives_in_it(folder: str) -> None:
    """Each package and each folder with files of several kinds; a test folder's files open with their own story."""
    if folder != "tests":
        packages = {path.parent for path in (HOUSE / folder).glob("*/__init__.py")} if folder else {HOUSE}
        missing = [str(each.relative_to(HOUSE)) for each in packages if not (each / "README.md").is_file()]
        assert not missing
    assert (HOUSE / folder / "README.md").is_file()
