"""What an operator writes in pipelines.d/NAME.yaml, as values; `reading.py` makes them of its text.

A step asks a model (`model`), a worker connected over gRPC (`worker`), a Python function
(`function: module:name`), or whichever model the ruleset "models" picks when it names none of these.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct


class StepSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One step. `input_mapping` is a list of inputs, or a mapping of names for the prompt to inputs.

    Inputs: user_message, conversation_history, message.<field>, metadata.<key>, <earlier step>.output.
    `prompt` is a Jinja2 template over the mapping's names; without one the inputs are given in order.
    """

    name: str
    model: str = ""
    worker: str = ""
    function: str = ""
    input_mapping: list[str] | dict[str, str] = msgspec.field(default_factory=lambda: ["user_message"])
    system: str = ""
    prompt: str = ""
    max_tokens: Annotated[int, Meta(ge=0)] = 0
    temperature: float | None = None
    deadline_seconds: Annotated[float, Meta(gt=0)] = 60.0
    tries: Annotated[int, Meta(ge=1)] = 3


class Pipeline(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A pipeline and its actor's limits. `on_failure` is what the sender hears when a step gives up.

    `at_once` messages are worked on side by side; the others wait in the mailbox, by priority and then in
    order, and [flow] max_waiting bounds them all. `history_turns` exchanges of the conversation are shown
    to steps that map conversation_history.
    """

    pipeline: list[StepSpec]
    name: str = ""
    at_once: Annotated[int, Meta(ge=1)] = 64
    history_turns: Annotated[int, Meta(ge=0, le=10_000)] = 10
    on_failure: str = ""
    stream: bool = True
    manner: Literal["queue"] = "queue"


BUILT_IN_INPUTS = ("user_message", "conversation_history")
MESSAGE_FIELDS = ("content", "channel", "platform", "type", "sender.id", "sender.name", "conversation.id")
