"""A rate counts by what PER reads, however long that is, and remembers little."""

from __future__ import annotations

import tracemalloc

from gateway.flow.throttle import Throttle
from gateway.hooks import rate_limit
from gateway.message.draft import Draft
from gateway.message.message import Message, Sender
from gateway.ports import Kit

LONG = 100_000


def test_long_keys_are_told_apart_and_are_not_kept() -> None:
    throttle = Throttle()
    tracemalloc.start()
    for number in range(200):
        assert throttle.admit("rate", "x" * LONG + str(number), 1, 60.0, 0.0)
    assert tracemalloc.get_traced_memory()[0] < LONG * 10
    tracemalloc.stop()
    assert not throttle.admit("rate", "x" * LONG + "7", 1, 60.0, 0.0)
    assert throttle.admit("another", "x" * LONG + "7", 1, 60.0, 0.0)


def test_a_key_of_half_characters_is_a_key() -> None:
    throttle = Throttle()
    assert throttle.admit("rate", "\ud83d" * 100, 1, 60.0, 0.0)
    assert not throttle.admit("rate", "\ud83d" * 100, 1, 60.0, 0.0)


def test_the_hook_that_limits_senders_keeps_no_long_ids() -> None:
    kit = Kit(report=lambda notice: None, now=lambda: 0.0, random=bytes, http=None)
    hook = rate_limit.build(rate_limit.Settings(messages=1), kit)
    tracemalloc.start()
    for number in range(200):
        hook(Draft(Message(channel="c", sender=Sender("x" * LONG + str(number)))))
    assert tracemalloc.get_traced_memory()[0] < LONG * 10
    tracemalloc.stop()
