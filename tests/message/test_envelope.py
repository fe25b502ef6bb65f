"""Ids that sort by time and come out the same at every run, and states that only move forward."""

from __future__ import annotations

import uuid
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.message.envelope import delivery_id, lane_key, uuid7
from gateway.message.lifecycle import DELIVERY, INBOUND, DeliveryState, InboundState
from gateway.message.message import Conversation, nfc

moments = st.floats(0, 2**47 / 1000)


@given(moments, st.binary(min_size=10, max_size=10))
def test_an_id_is_a_uuid_of_version_7_that_holds_its_moment(now, randomness):
    made = uuid.UUID(uuid7(now, randomness))
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.int >> 80 == int(now * 1000)
    assert str(made) == uuid7(now, randomness)


@given(st.lists(moments, min_size=2, max_size=20))
def test_ids_sort_by_their_moment(times):
    ids = [uuid7(moment, bytes(10)) for moment in sorted(times)]
    assert all(earlier <= later for earlier, later in pairwise(ids))


def test_a_reply_has_the_same_id_at_every_run_and_each_its_own():
    assert delivery_id("e", 0) == delivery_id("e", 0) != delivery_id("e", 1)


def test_threads_are_lanes_of_their_own():
    assert lane_key("web", Conversation("c")) != lane_key("web", Conversation("c", thread="t"))


@pytest.mark.parametrize(("table", "states"), [(INBOUND, InboundState), (DELIVERY, DeliveryState)])
def test_every_state_has_its_row_and_none_follows_what_is_over(table, states):
    assert set(table) == set(states)
    assert not table[states("dropped")] - {states("dropped")}


def test_text_is_kept_in_one_form():
    assert nfc("e\u0301") == "é"
    assert nfc("plain") == "plain"
