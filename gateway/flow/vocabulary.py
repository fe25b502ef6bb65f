"""What operators' rules may speak of: the message's fields, the gateway's actions, the names that exist.

The ruleset "routing" decides once a message, on the facts as they came in; "models" decides for
each pipeline step that names no model, with `input` bound to that step's real input.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from gateway.message.message import Message
from rules import ROUTING, ActionSpec, Field, Param, Scope, Vocabulary

MODELS = "models"


class StepFacts(Struct, frozen=True):
    """What the ruleset "models" sees: the step's input, its place, and the message it is about."""

    input: str
    step: str
    pipeline: str
    message: Message
    tags: tuple[str, ...]


def _message_fields() -> dict[str, Field]:
    def text(*path: str, about: str, always: bool = True) -> Field:
        return Field("text", ("message", *path), exact=True, always=always, nfc=path == ("content",), about=about)

    return {
        "message.id": text("id", about="the platform's id of the message"),
        "message.channel": text("channel", about="the channel's configured name"),
        "message.platform": text("platform", about="the platform: webhook, slack, matrix, ..."),
        "message.type": text("type", about="text image audio video file location sticker reaction command event"),
        "message.action": text("action", about="new, edit or delete"),
        "message.content": text("content", about="the text or caption, in NFC; empty when there is none"),
        "message.sender.id": text("sender", "id", about="the platform's stable id of who said it"),
        "message.sender.name": text("sender", "name", about="who said it, as displayed"),
        "message.sender.is_bot": Field("boolean", ("message", "sender", "is_bot"), exact=True, always=True),
        "message.conversation.id": text("conversation", "id", about="the chat or room"),
        "message.conversation.kind": text("conversation", "kind", about="direct, group or channel"),
        "message.conversation.thread": text("conversation", "thread", about="the thread within it, or empty"),
        "message.conversation.title": text("conversation", "title", about="the room's title, or empty"),
        "message.mentions_me": Field(
            "boolean", ("message", "mentions_me"), exact=True, always=True, about="whether the gateway is addressed"
        ),
        "message.reply_to": text("reply_to", about="the id of the message this one answers, or empty"),
        "message.target_id": text("target_id", about="what an edit, delete or reaction is about, or empty"),
        "message.attachments": Field("list", ("message", "attachments"), always=True, about="files; COUNT them"),
        "message.sent_at": Field("number", ("message", "sent_at"), exact=True, always=True, about="epoch seconds"),
        "message.metadata": Field("dynamic", ("message", "metadata"), about="the platform's other fields"),
        "message.tags": Field("list", ("tags",), always=True, about="what earlier hooks and rules tagged"),
    }


def _actions() -> dict[str, ActionSpec]:
    reason = Param("reason")
    return {
        "route_to": ActionSpec((Param("pipeline", names="pipelines"),), terminal=True, about="hand to a pipeline"),
        "reply": ActionSpec((Param("text"),), terminal=True, about="answer with a fixed text"),
        "reject": ActionSpec((reason, Param("tell", optional=True)), terminal=True, about="refuse, with a reason"),
        "drop": ActionSpec((reason,), terminal=True, about="discard, with a reason"),
        "hold": ActionSpec((reason,), terminal=True, about="set aside until a person releases it"),
        "delay": ActionSpec((Param("duration", "duration"),), about="set aside for a while, then do the rest"),
        "forward": ActionSpec(
            (Param("channel", names="channels"), Param("to", optional=True)), about="send a copy to a channel"
        ),
        "use_model": ActionSpec((Param("model", names="models"),), about="the model for steps that name none"),
        "tag": ActionSpec((Param("names", many=True),), about="add tags"),
        "set": ActionSpec(
            (Param("field", "field"), Param("value", "any")), about="set message.metadata.* or message.content"
        ),
        "priority": ActionSpec((Param("n", "number"),), about="rank when a pipeline is busy; higher goes first"),
        "throttle": ActionSpec((Param("rate", "rate"),), per=True, about='at most so many, as "5/1m" PER key'),
        "deadline": ActionSpec((Param("duration", "duration"),), about="another gateway deadline"),
    }


def vocabulary(
    *, pipelines: Iterable[str], models: Iterable[str], channels: Iterable[str], more: Mapping[str, ActionSpec] = {}
) -> Vocabulary:
    """Build the vocabulary for the names that are configured; `more` are the actions of plugins."""
    fields, actions = _message_fields(), _actions()
    said = Field(
        "text",
        ("message", "content"),
        exact=True,
        always=True,
        nfc=True,
        stands_for="message.content",
        about="message.content",
    )
    given = Field("text", ("input",), exact=True, always=True, stands_for="message.content", about="the step's input")
    step = {
        "input": given,
        "step.name": Field("text", ("step",), exact=True, always=True, about="the step's name"),
        "step.pipeline": Field("text", ("pipeline",), exact=True, always=True, about="the pipeline's name"),
    }
    return Vocabulary(
        scopes={
            ROUTING: Scope({**fields, "input": said}, {**more, **actions}),
            MODELS: Scope({**fields, **step}, {"use_model": actions["use_model"]}),
        },
        names={
            "pipelines": frozenset(pipelines),
            "models": frozenset(models),
            "channels": frozenset(channels),
        },
    )
