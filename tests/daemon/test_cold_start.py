"""A start pays only for what the configuration uses: what is heavy and not asked for is not imported.

`python tests/bench/flow_bench.py` measures the start itself; this keeps it from growing unseen.
"""

from __future__ import annotations

import shutil
import urllib.request

import pytest

from tests.support.daemon import HOUSE, daemon, scratch_folder

# CPU milliseconds that each would cost the start, as `python -X importtime` has it: asyncio 54, structlog 100,
# prometheus_client 68, jinja2 40, cryptography 60, google.protobuf 30, h2 20; the rest 5 to 15 each.
HEAVY = {
    "ahocorasick",
    "asyncio",
    "cryptography",
    "google",
    "grpclib",
    "h2",
    "jinja2",
    "prometheus_client",
    "re2",
    "regex",
    "rich",
    "structlog",
}
DUMP = """
import atexit, sys
atexit.register(lambda: sys.stderr.write("modules " + " ".join(sorted(sys.modules)) + "\\n"))
"""


@pytest.mark.parametrize("example", ["bench", "quickstart"])
def test_nothing_heavy_is_imported_before_it_is_needed(example: str) -> None:
    with scratch_folder({"sitecustomize.py": DUMP}) as spy, scratch_folder({}) as folder:
        shutil.copytree(HOUSE / "conf" / "examples" / example, folder / "config")
        file = folder / "config" / "oclaw.toml"
        text = file.read_text("utf-8").replace("127.0.0.1:8420", "127.0.0.1:0").replace('log_level = "warning"\n', "")
        if "[listen]" not in text:
            text += '\n[listen]\naddresses = ["127.0.0.1:0"]\n'
        file.write_text(text, "utf-8")
        with daemon(folder, {"PYTHONPATH": str(spy / "config")}) as running:
            urllib.request.urlopen(running.url + "/healthz").close()
            assert running.stop() == 0
        (modules,) = [line["text"].split()[1:] for line in running.log if line.get("text", "").startswith("modules ")]
        assert {name.partition(".")[0] for name in modules} & HEAVY == set()
