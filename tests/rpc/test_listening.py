"""`Converse` and `Subscribe` with the official library: acks, streamed replies, reconnect, resume, honest gaps."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from gateway.api.v1 import gateway_pb2 as pb
from tests.rpc.daemon import Daemon, Till, said


class Voice:
    """A client's sending side: an iterator that the library reads, fed by the test."""

    def __init__(self, **hello: Any) -> None:
        self._requests: queue.SimpleQueue[pb.ConverseRequest | None] = queue.SimpleQueue()
        self._requests.put(pb.ConverseRequest(hello=pb.Hello(**hello)))

    def says(self, ref: str, text: str, **fields: Any) -> None:
        self._requests.put(pb.ConverseRequest(message=pb.Outgoing(ref=ref, message=said(text, **fields))))

    def has_seen(self, sequence: int) -> None:
        self._requests.put(pb.ConverseRequest(seen=pb.Seen(sequence=sequence)))

    def ends(self) -> None:
        self._requests.put(None)

    def __iter__(self) -> Iterator[pb.ConverseRequest]:
        while (request := self._requests.get()) is not None:
            yield request


def until_reply(call: Any) -> tuple[list[str], pb.Event]:
    """Return the kinds of everything up to the first whole reply, and the reply's event."""
    kinds: list[str] = []
    for response in call:
        kind = response.WhichOneof("kind")
        if kind == "event":
            kind = response.event.WhichOneof("kind")
        kinds.append(kind)
        if kind == "reply":
            return kinds, response.event
    raise AssertionError(kinds)


def test_messages_are_acknowledged_and_answered_in_pieces(till: Till) -> None:
    voice = Voice()
    call = till.converse(iter(voice))
    assert next(call).ready.recovered
    voice.says("r1", "three short words", conversation="talk")
    responses = []
    for response in call:
        responses.append(response)
        if response.event.WhichOneof("kind") == "reply":
            voice.ends()
    (accepted,) = [each.accepted for each in responses if each.WhichOneof("kind") == "accepted"]
    events = [each.event for each in responses if each.WhichOneof("kind") == "event"]
    pieces, reply = [each.piece for each in events[:-1]], events[-1].reply
    assert accepted.ref == "r1" and not accepted.duplicate
    assert "".join(piece.text for piece in pieces) == "three short words"
    assert [piece.index for piece in pieces] == list(range(len(pieces)))
    assert reply.message.content == "three short words" and not reply.incomplete
    assert {accepted.envelope_id, reply.envelope_id, pieces[0].envelope_id} == {accepted.envelope_id}
    assert {piece.id for piece in pieces} == {reply.id}
    assert events[-1].sequence > 0


def test_closing_the_sending_side_lets_every_reply_arrive_first(till: Till) -> None:
    voice = Voice(conversation_ids=[f"many{index}" for index in range(40)])
    for index in range(40):
        voice.says(f"r{index}", f"word {index}", conversation=f"many{index}")
    voice.ends()
    responses = list(till.converse(iter(voice)))
    replies = [each.event.reply.message.content for each in responses if each.event.WhichOneof("kind") == "reply"]
    assert sorted(replies) == sorted(f"word {index}" for index in range(40))


def test_one_bad_message_is_refused_and_the_stream_lives_on(till: Till) -> None:
    voice = Voice(conversation_ids=["bad"])
    call = till.converse(iter(voice))
    next(call)
    voice.says("r1", "x", conversation="")
    refused = next(call).refused
    assert (refused.ref, refused.code) == ("r1", grpc.StatusCode.INVALID_ARGUMENT.value[0])
    assert "message.conversation.id" in refused.reason
    voice.says("r2", "x", conversation="bad")
    assert until_reply(call)[1].reply.message.content == "x"
    call.cancel()


def test_a_call_that_does_not_begin_with_hello_ends(till: Till) -> None:
    requests = iter([pb.ConverseRequest(message=pb.Outgoing(ref="r", message=said("x")))])
    with pytest.raises(grpc.RpcError) as caught:
        list(till.converse(requests))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_client_that_comes_back_hears_what_it_missed(till: Till) -> None:
    voice = Voice(conversation_ids=["back"])
    call = till.converse(iter(voice))
    next(call)
    voice.says("r1", "one", conversation="back")
    seen = until_reply(call)[1].sequence
    call.cancel()
    till.send("two", conversation="back")
    again = Voice(after=seen, conversation_ids=["back"])
    call = till.converse(iter(again))
    assert next(call).ready.recovered
    _, event = until_reply(call)
    assert event.reply.message.content == "two" and event.sequence > seen
    call.cancel()


def test_a_reply_that_is_not_confirmed_comes_again_under_the_same_id(till: Till) -> None:
    voice = Voice(conversation_ids=["sure"], confirms=True)
    call = till.converse(iter(voice))
    next(call)
    voice.says("r1", "hold on", conversation="sure")
    _, event = until_reply(call)
    call.cancel()
    voice = Voice(conversation_ids=["sure"], confirms=True)
    call = till.converse(iter(voice))
    next(call)
    _, again = until_reply(call)
    assert (again.reply.id, again.reply.message.content) == (event.reply.id, "hold on")
    voice.has_seen(again.sequence)
    voice.ends()
    assert list(call) == []


def test_a_subscriber_resumes_where_it_was(till: Till) -> None:
    call = till.subscribe(conversation_ids=["sub"])
    call.initial_metadata()
    for text in ("one", "two", "three"):
        till.send(text, conversation="sub")
        till.send(text, conversation="elsewhere", wait=60)
    heard = [event for event in (next(call) for _ in range(6)) if event.sequence]
    assert [event.reply.message.content for event in heard] == ["one", "two", "three"]
    call.cancel()
    again = till.subscribe(after=heard[0].sequence, conversation_ids=["sub"])
    missed = [next(again) for _ in range(2)]
    assert [event.reply.message.content for event in missed] == ["two", "three"]
    assert [event.sequence for event in missed] == [event.sequence for event in heard[1:]]
    again.cancel()


def test_a_gap_is_told_and_never_hidden(till: Till) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        next(till.subscribe(after=1))
    assert caught.value.code() is grpc.StatusCode.OUT_OF_RANGE
    call = till.converse(iter(Voice(after=1)))
    assert not next(call).ready.recovered
    call.cancel()
    call = till.subscribe(after=1, skip_missing=True)
    call.initial_metadata()
    call.cancel()


def test_a_reply_waits_for_a_listener_through_a_restart(daemon: Daemon) -> None:
    daemon.write()
    daemon.start()
    with daemon.dial() as channel:
        id = Till(channel).send("remember me", conversation="later").envelope_id
    daemon.kill()
    daemon.start()
    with daemon.dial() as channel:
        event = next(Till(channel).subscribe(conversation_ids=["later"]))
    assert (event.reply.envelope_id, event.reply.message.content) == (id, "remember me")


def test_clients_that_leave_in_the_middle_are_no_bug_and_harm_nobody(daemon: Daemon) -> None:
    daemon.write()
    daemon.start()
    for round in range(30):
        with daemon.dial() as channel:
            till = Till(channel)
            call = till.converse(iter(voice := Voice()))
            next(call)
            for index in range(5):
                voice.says(f"r{index}", "a few words more", conversation=f"gone{index}")
            for _ in range(round % 5):
                next(call)
            if round % 2:
                call.cancel()
    with daemon.dial() as channel:
        assert Till(channel).send("still there?", wait=60).replies.replies
    assert [line for line in daemon.lines if line.get("level") in ("error", None)] == []
