"""What a person is told of a message that was not taken, for every reason the door knows."""

from __future__ import annotations

import re
from pathlib import Path

from gateway.daemon.counsel import not_taken
from gateway.flow import accept


def test_every_refusal_at_the_door_is_a_sentence() -> None:
    reasons = set(re.findall(r'Refused\("(\w+)"', Path(accept.__file__).read_text("utf-8")))
    assert {"journal", "overloaded", "full", "conversation_full"} <= reasons
    assert not_taken("journal", "disk is full") == "the message was not taken; the journal cannot write: disk is full"
    for reason in reasons - {"journal"}:
        assert " " in not_taken(reason, "").removeprefix("the message was not taken; ")
