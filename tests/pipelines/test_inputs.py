"""What a model is shown for each way of writing a step's input_mapping."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.message.envelope import Envelope
from gateway.message.message import Message, Sender
from gateway.pipelines.inputs import Inputs
from gateway.pipelines.spec import StepSpec
from gateway.ports import Turn

MESSAGE = Message(channel="chat", content="hello", sender=Sender("u1", "Ann"), metadata={"lang": "de", "n": 3})
ENVELOPE = Envelope(id="e-1", message=MESSAGE, received_at=0.0, deadline=1.0)
HISTORY = (Turn("user", "before"), Turn("assistant", "then"))
OUTPUTS = {"first": "said first"}


def given(mapping: Any) -> dict[str, str]:
    step = StepSpec(name="s", input_mapping=mapping)
    return Inputs(step, None).gathered(ENVELOPE, OUTPUTS, HISTORY)


def shown(mapping: Any, system: str = "", render: Any = None) -> list[tuple[str, str]]:
    inputs = Inputs(StepSpec(name="s", input_mapping=mapping, system=system), render)
    turns = inputs.turns(ENVELOPE, inputs.gathered(ENVELOPE, OUTPUTS, HISTORY), HISTORY)
    return [(turn.role, turn.text) for turn in turns]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("user_message", "hello"),
        ("conversation_history", "user: before\nassistant: then"),
        ("message.sender.name", "Ann"),
        ("metadata.lang", "de"),
        ("metadata.n", "3"),
        ("metadata.missing", ""),
        ("first.output", "said first"),
        ("first", "said first"),
    ],
)
def test_an_input_may_name_any_of_these(source: str, text: str) -> None:
    assert given({"x": source}) == {"x": text}
    assert given([source]) == {source: text}


def test_a_list_is_said_in_its_order_without_what_is_empty() -> None:
    assert shown(["user_message", "metadata.missing", "first.output"]) == [("user", "hello\n\nsaid first")]


def test_history_is_shown_as_the_turns_it_was_and_only_to_a_step_that_maps_it() -> None:
    turns = [("user", "before"), ("assistant", "then"), ("user", "hello")]
    assert shown(["conversation_history", "user_message"]) == turns
    assert shown({"past": "conversation_history"}, "be brief") == [("system", "be brief"), *turns]
    assert not Inputs(StepSpec(name="s"), None).needs_history


def test_named_inputs_are_context_before_the_message() -> None:
    mapping = {"text": "user_message", "language": "metadata.lang", "none": "metadata.missing"}
    assert shown(mapping) == [("system", "language: de"), ("user", "hello")]
    assert shown({"text": "user_message"}) == [("user", "hello")]


def test_a_prompt_says_it_in_its_own_words() -> None:
    assert shown({"who": "message.sender.name"}, render=lambda inputs: f"I am {inputs['who']}") == [
        ("user", "I am Ann")
    ]
