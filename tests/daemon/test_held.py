"""A person decides on an answer that an outbound hook holds: reads it first, then lets it go or ends it."""

from __future__ import annotations

import json
import tempfile
import time
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


def test_a_reply_to_nobody_who_is_connected_is_told_of_at_once_and_can_be_dropped() -> None:
    with tempfile.TemporaryDirectory() as name:
        conf = write_configuration(Path(name))
        settings = conf / "oclaw.toml"
        settings.write_text(settings.read_text() + '[channels.chat]\ntype = "webchat"\n')
        with running(conf) as daemon:
            told = ["hello", "--channel", "chat", "--conversation", "anna"]
            first, second = (asked(daemon, *told, command="send") for _ in range(2))
            assert (first["state"], first["replies"]) == ("done", ["hello"])
            (waiting,) = first["undelivered"]
            assert (waiting["channel"], waiting["conversation"]) == ("chat", "anna")
            assert waiting["expires_at"] > time.time() + 3600
            assert waiting["why"] == "No client of this conversation is connected."
            (behind,) = second["undelivered"]
            assert behind["why"] == f"behind 1 earlier to the same conversation: {waiting['why']}"
            assert f"`oclaw dead drop {behind['id']}`" in second["what_now"]
            for reply in (behind, waiting):
                assert asked(daemon, "drop", reply["id"], "--yes", command="dead")["state"] == "dropped"
            assert daemon.status()["queues"]["outbox"] == 0
            assert "is dropped, no dead letter" in asked(daemon, "drop", behind["id"], "--yes", code=1, command="dead")


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
