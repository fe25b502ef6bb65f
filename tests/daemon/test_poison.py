"""A message that kills the real process, between two that do not: it alone is set aside, the others are answered."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from contextlib import suppress

from tests.support.daemon import READY_SECONDS, daemon, environment, scratch_folder

FILES = {
    "oclaw.toml": """
[gateway]
default_pipeline = "echo"
log_format = "json"

[listen]
addresses = ["127.0.0.1:0"]

[models.echo]
provider = "echo"

[hooks]
inbound = ["deadly:hook"]

[channels.open]
type = "webhook"
auth = "none"
""",
    "hooks/deadly.py": """
import os
import signal


def hook(message):
    if message.content == "poison":
        os.kill(os.getpid(), signal.SIGKILL)
""",
    "pipelines.d/echo.yaml": "pipeline:\n  - name: say\n    model: echo\n",
}


def post(port: int, text: str) -> str:
    """Hand in a message; return its id."""
    body = json.dumps({"text": text, "id": text, "conversation": {"id": "room"}}).encode()
    url, head = f"http://127.0.0.1:{port}/channels/open", {"Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, body, head), timeout=READY_SECONDS) as answer:
        return str(json.loads(answer.read())["id"])


def test_a_message_that_kills_the_process_is_set_aside_and_no_other() -> None:
    with scratch_folder(FILES) as folder:
        for _ in range(2):  # the first time it is not even accepted, so its sender repeats it
            with daemon(folder) as running:
                fine = post(running.port, "fine")
                with suppress(OSError):  # the second time it may hear yet that it is accepted
                    post(running.port, "poison")
                assert running.process.wait(READY_SECONDS) == -9
        for _ in range(2):  # found in the journal, it kills at the start
            command = [sys.executable, "-m", "gateway.cli", "run", "--config", str(folder / "config")]
            assert subprocess.run(command, env=environment(folder), capture_output=True).returncode == -9
        with daemon(folder) as running:
            dead = json.loads(running.oclaw("dead", "list", "--json").stdout)
            assert [(letter["preview"], letter["attempt"]) for letter in dead] == [("poison", 4)]
            assert json.loads(running.oclaw("trace", fine, "--json").stdout)["state"] == "done"
            assert running.stop() == 0
        assert not (folder / "state" / "running").exists()
