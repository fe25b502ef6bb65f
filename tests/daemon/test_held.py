"""A person decides on an answer that an outbound hook holds: reads it first, then lets it go or ends it."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from gateway.cli.frame import oclaw
from tests.support.rules_daemon import Daemon, running, write_configuration

FOUR_EYES = """
from gateway.errors import Hold


def look(message):
    if "refund" in message.content:
        raise Hold("money")
    message.content += "!"


def gate(message):
    if "spam" in message.content:
        raise ValueError("no spam")
"""


def asked(daemon: Daemon, *words: str, code: int = 0, command: str = "held") -> Any:
    done = CliRunner().invoke(oclaw, [command, *words, "--config", str(daemon.folder), "--json"])
    assert done.exit_code == code, done.stderr
    return done.stderr if code else json.loads(done.stdout)


def test_a_held_answer_is_read_then_dropped_or_let_go() -> None:
    with tempfile.TemporaryDirectory() as name:
        conf = write_configuration(Path(name))
        (conf / "hooks" / "four_eyes.py").write_text(FOUR_EYES)
        settings = conf / "oclaw.toml"
        settings.write_text(
            settings.read_text() + '\n[hooks]\ninbound = ["four_eyes:gate"]\noutbound = ["four_eyes:look"]\n'
        )
        with running(conf) as daemon:
            first, second = (daemon.says(f"refund {number}")["id"] for number in (1, 2))
            assert [(row["preview"], row["answer"], row["why"]) for row in asked(daemon, "list")] == [
                (f"refund {number}", f"refund {number}", "money") for number in (1, 2)
            ]
            shown = asked(daemon, "show", first)
            assert shown["what_now"].startswith(f"`oclaw held release {first}` lets it go on")
            assert shown["held_answers"] == ["refund 1"]
            assert [step["stage"] for step in shown["steps"]][-3:] == ["step", "hook", "settle"]
            assert asked(daemon, "drop", first, "--yes") == {"id": first, "state": "dropped"}
            dropped = asked(daemon, "show", first)
            assert dropped["steps"][:-1] == shown["steps"][:-1], "how it came to that is still told"
            assert (dropped["steps"][-1]["by"], dropped["steps"][-1]["outcome"]) == ("operator", "dropped")
            assert dropped["gateway_seconds"] == shown["gateway_seconds"]
            assert asked(daemon, "release", second) == {"id": second, "state": "accepted"}
            assert "only what is set aside can be dropped" in asked(daemon, "drop", first, "--yes", code=1)
            assert "there is no message nothing" in asked(daemon, "release", "nothing", code=1)
            assert asked(daemon, "list") == []
            rejected = daemon.says("spam")["id"]
            assert "rejected is final" in asked(daemon, rejected, command="trace")["what_now"]
            no_letter = f"message {rejected} is rejected, no dead letter: rejected is final"
            assert no_letter in asked(daemon, "retry", rejected, code=1, command="dead")
            only = f"message {rejected} is rejected; only what is set aside can be released: rejected is final"
            assert only in asked(daemon, "release", rejected, code=1)
            answered = daemon.says("thanks")
            assert answered["replies"] == ["thanks!"]
            assert asked(daemon, "explain", answered["id"], command="rules")["note"] == ""
