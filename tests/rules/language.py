"""A small gateway for the rule tests: its vocabulary, its facts and its lists."""

from __future__ import annotations

from datetime import UTC, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from rules import ActionSpec, Field, Param, Rejected, Ruleset, Scope, Unavailable, Vocabulary, load

ACTIONS = {
    "route_to": ActionSpec((Param("pipeline", names="pipelines"),), terminal=True),
    "use_model": ActionSpec((Param("model", names="models"),), terminal=True),
    "reply": ActionSpec((Param("text"),), terminal=True),
    "forward": ActionSpec((Param("channel", names="channels"), Param("to", optional=True))),
    "reject": ActionSpec((Param("reason"),), terminal=True),
    "drop": ActionSpec((Param("reason"),), terminal=True),
    "tag": ActionSpec((Param("name", many=True),)),
    "set": ActionSpec((Param("field", "field"), Param("value", "any"))),
    "priority": ActionSpec((Param("n", "number"),)),
    "throttle": ActionSpec((Param("rate", "rate"),), per=True),
    "delay": ActionSpec((Param("duration", "duration"),)),
}
KINDS: dict[str, Any] = {
    "message.channel": "text",
    "message.type": "text",
    "message.content": "text",
    "message.sender.id": "text",
    "message.sender.name": "text",
    "message.sender.is_bot": "boolean",
    "message.size": "number",
    "message.tags": "list",
    "message.metadata": "dynamic",
    "input": "text",
}
FIELDS = {name: Field(kind, stands_for="message.content" if name == "input" else "") for name, kind in KINDS.items()}
NAMES = {
    "pipelines": frozenset({"text_processing_pipeline", "default", "support"}),
    "models": frozenset({"long_context_model", "email_processing_model", "default_model"}),
    "channels": frozenset({"imessage", "oncall"}),
}
VOCABULARY = Vocabulary({"routing": Scope(FIELDS, ACTIONS), "models": Scope(FIELDS, ACTIONS)}, NAMES)
NOON = 1_772_452_800.0  # Monday, 2 March 2026, 12:00 UTC


class Sender(msgspec.Struct, frozen=True):
    id: str
    name: str | None
    is_bot: bool


class Message(msgspec.Struct, frozen=True):
    channel: str
    type: str
    content: str
    sender: Sender
    size: int
    tags: list[str]
    metadata: dict[str, Any]


PATHS = {
    "message.channel": ("channel",),
    "message.type": ("type",),
    "message.content": ("content",),
    "message.sender.id": ("sender", "id"),
    "message.sender.name": ("sender", "name"),
    "message.sender.is_bot": ("sender", "is_bot"),
    "message.size": ("size",),
    "message.tags": ("tags",),
    "message.metadata": ("metadata",),
    "input": ("content",),
}
STRUCT_FIELDS = {
    name: Field(kind, PATHS[name], exact=True, always=name != "message.sender.name", nfc=kind == "text")
    for name, kind in KINDS.items()
}
STRUCT_VOCABULARY = Vocabulary(
    {"routing": Scope(STRUCT_FIELDS, ACTIONS), "models": Scope(STRUCT_FIELDS, ACTIONS)}, NAMES
)


class Shelf:
    """A loader over a dict of lists."""

    def __init__(self, lists: dict[str, tuple[str, ...]] | None = None) -> None:
        self.lists = {"spam.txt": ("casino", "lottery")} if lists is None else lists

    def lines(self, name: str) -> tuple[str, ...]:
        if name not in self.lists:
            raise Unavailable("there is no such file")
        return self.lists[name]

    def zone(self, name: str) -> tzinfo:
        try:
            return ZoneInfo(name) if name else UTC
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise Unavailable("the system has no such zone") from None


def loaded(text: str, vocabulary: Vocabulary = VOCABULARY) -> Ruleset:
    """The ruleset of one file that must be right."""
    made = load({"main.rules": text}, vocabulary, Shelf())
    assert isinstance(made, Ruleset), made.render()
    return made


def rejected(text: str | bytes) -> str:
    """What is shown for one file that must be wrong."""
    made = load({"main.rules": text}, VOCABULARY, Shelf())
    assert isinstance(made, Rejected)
    return made.render()


def acts(ruleset: Ruleset, facts: dict[str, Any], *, name: str = "routing", at: float = NOON) -> list[str]:
    """The decision's actions, as `name(arguments)`."""
    decision = ruleset.decide(name, facts, at)
    return [f"{a.name}({', '.join(str(v) for v in a.args.values())})" for a in decision.actions]
