"""What a message holds that protobuf has no form for, and what is more than a client takes."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.api.rpc.forms import MOST_BYTES, event_to, moment, struct_to
from gateway.channels.grpc_events import ReplySaid
from gateway.message.message import Conversation, Message


def said(text: str, **fields: Any) -> ReplySaid:
    message = Message(channel="it", platform="grpc", content=text, conversation=Conversation("c"), **fields)
    return ReplySaid(id="e.0", envelope_id="e", message=message, at=1.0, sequence=7)


@pytest.mark.parametrize("beyond", [1e308, -1e308, float("inf"), float("nan"), 253_402_300_800.0])
def test_a_moment_that_no_timestamp_may_be_is_none(beyond: float) -> None:
    assert moment(beyond) == moment(0.0)
    assert moment(1.5).ToJsonString() == "1970-01-01T00:00:01.500Z"


def test_half_a_surrogate_pair_in_the_metadata_costs_a_character() -> None:
    assert dict(struct_to({"a\ud800": "b"})) == {"a\ufffd": "b"}


@pytest.mark.parametrize("character", ["x", "ü", "字", "🙂"])
def test_a_reply_that_clients_would_refuse_is_cut_and_says_so(character: str) -> None:
    text = character * (5 * 1024 * 1024 // len(character.encode()))
    event = event_to(said(text))
    assert MOST_BYTES - 2048 < event.ByteSize() < MOST_BYTES - 512
    assert event.reply.incomplete
    assert (event.sequence, event.reply.id) == (7, "e.0")
    assert text.startswith(event.reply.message.content)


def test_a_reply_that_clients_just_take_is_whole() -> None:
    text = "x" * (MOST_BYTES - 2048)
    reply = event_to(said(text)).reply
    assert not reply.incomplete
    assert reply.message.content == text


def test_of_a_reply_that_is_large_without_its_text_the_text_is_left() -> None:
    event = event_to(said("hello", metadata={"blob": "x" * MOST_BYTES}, reply_to="m1"))
    assert event.ByteSize() < 1024
    assert event.reply.incomplete
    message = event.reply.message
    assert (message.content, message.conversation.id, message.reply_to) == ("hello", "c", "m1")
