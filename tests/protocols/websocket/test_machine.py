"""The WebSocket machine: any bytes, any cut, nothing raised and nothing unbounded."""

from __future__ import annotations

import itertools
import tracemalloc

from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.websocket.machine import WebSocketMachine
from tests.protocols.websocket.test_websocket import frame

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
_MESSAGES = st.lists(st.one_of(_TEXT, st.binary(max_size=200)), max_size=5)
_FRAMES = st.builds(
    frame,
    st.sampled_from([0, 1, 2, 3, 8, 9, 10]),
    st.binary(max_size=140),
    fin=st.sampled_from([0, 0x80, 0x80, 0xC0]),
    masked=st.sampled_from([True, True, True, False]),
)
_WIRE = st.lists(st.one_of(_FRAMES, st.binary(max_size=8)), max_size=8).map(b"".join)


@settings(max_examples=100)
@given(messages=_MESSAGES, size=st.integers(1, 50))
def test_messages_come_out_as_they_went_in_however_cut(messages: list[str | bytes], size: int) -> None:
    client = WebSocketMachine(server=False, message_bytes=1000)
    server = WebSocketMachine(server=True, message_bytes=1000)
    for message in messages:
        client.say(message)
    client.close(1000, "done")
    wire, got = client.outgoing, []
    for start in range(0, len(wire), size):
        got += server.feed(wire[start : start + size])
    assert got == messages
    assert server.closed is not None
    assert (server.closed.code, server.closed.reason) == (1000, "done")
    client.feed(server.outgoing)
    assert client.closed is not None
    assert client.closed.code == 1000


@settings(max_examples=100)
@given(wire=_WIRE, cuts=st.lists(st.integers(0, 300), max_size=6))
def test_any_bytes_are_messages_or_a_close_code(wire: bytes, cuts: list[int]) -> None:
    machine = WebSocketMachine(server=True, message_bytes=300)
    edges = [0, *sorted(min(cut, len(wire)) for cut in cuts), len(wire)]
    for start, end in itertools.pairwise(edges):
        for message in machine.feed(wire[start:end]):
            assert len(message) <= 300
    if machine.closed is not None:
        assert 1000 <= machine.closed.code < 5000
        assert machine.feed(b"more") == []
        machine.close(1000, "")


def test_a_message_in_any_number_of_fragments_costs_what_it_holds() -> None:
    for piece in (b"", b"x", "й".encode()):
        machine = WebSocketMachine(server=True, message_bytes=30_000)
        machine.feed(frame(1, piece, fin=0))
        flood = frame(0, piece, fin=0) * 100
        tracemalloc.start()
        for _ in range(30):
            assert machine.feed(flood) == []
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert held < 20_000 + 3_000 * len(piece) * 20
        (whole,) = machine.feed(frame(0, b""))
        assert whole == piece.decode() * 3_001


def test_a_text_is_bounded_in_bytes_not_in_characters() -> None:
    machine = WebSocketMachine(server=True, message_bytes=100)
    assert machine.feed(frame(1, "й".encode() * 50)) == ["й" * 50]
    assert machine.feed(frame(1, "й".encode() * 51)) == []
    assert machine.closed is not None
    assert machine.closed.code == 1009
