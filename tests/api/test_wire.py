"""What happens on the wire is counted, and only what the operator must know is logged."""

from __future__ import annotations

import pytest

from gateway.api.wire import notice_of
from gateway.notices import AcceptingPaused, ConnectionRefused, RequestFailed, RequestRefused
from protocols.http1.headers import Headers
from protocols.http1.messages import Peer, Request
from protocols.hub import events

PEER = Peer("203.0.113.9", 5)
REQUEST = Request("GET", "/x", "/x", "", "1.1", Headers([]), b"", PEER)


@pytest.mark.parametrize(
    "event, notice, level",
    [
        (
            events.RequestRefused(PEER, 400, "bare LF"),
            RequestRefused(400, "203.0.113.9", "bare LF"),
            "debug",
        ),
        (
            events.ConnectionTurnedAway(Peer(""), "too many"),
            ConnectionRefused("limit", "unix", "too many"),
            "debug",
        ),
        (
            events.SlowReaderCut(PEER, 7),
            ConnectionRefused("slow_reader", "203.0.113.9", "7 bytes were not read in time"),
            "debug",
        ),
        (events.AcceptPaused(OSError("too many files")), AcceptingPaused("too many files"), "warning"),
        (events.DispatchCrashed(REQUEST, KeyError("x")), RequestFailed("GET /x", "KeyError: 'x'"), "error"),
    ],
)
def test_every_event_of_the_hub_has_its_notice(event, notice, level):
    assert notice_of(event) == notice
    assert notice.level == level


def test_what_fails_is_counted_under_the_place_that_failed_and_under_nothing_that_strangers_choose():
    long = Request("PUT", "/", "/_matrix/app/v1/transactions/4711", "", "1.1", Headers([]), b"", PEER)
    assert notice_of(events.DispatchCrashed(long, KeyError("x"))).where == "PUT /_matrix/app"
    assert notice_of(events.ConnectionCrashed(PEER, KeyError("x"))).where == "a connection"
