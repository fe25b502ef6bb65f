"""What probes hear: unready for what keeps messages from being kept, not for a platform that is down."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from gateway.api.health import Vitals, health_routes, readiness
from gateway.api.peers import Access, not_local
from gateway.supervise import ChildState
from gateway.telemetry import Book
from gateway.telemetry.metrics import Metrics
from protocols.http1.headers import Headers
from protocols.http1.messages import Peer, Request

WELL = Vitals(state="ready", journal_alive=True, journal_failing="", journal_backlog=0, loop_lag_seconds=0.001)


def asked(host="127.0.0.1", version="1.1", **headers):
    fields = {"Host": "127.0.0.1:8420"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return Request("GET", "/metrics", "/metrics", "", version, Headers.of(tuple(fields.items())), b"", Peer(host, 1))


@pytest.mark.parametrize(
    "change, problem",
    [
        ({"state": "draining"}, "the gateway is draining"),
        ({"state": "starting"}, "the gateway is starting"),
        ({"journal_alive": False}, "the journal's writer has ended"),
        ({"journal_failing": "no space left"}, "the journal cannot write: no space left"),
        ({"loop_lag_seconds": 1.5}, "the event loop is 1.5 s late"),
    ],
)
def test_what_keeps_messages_from_being_kept_is_unready(change, problem):
    found = readiness(replace(WELL, **change))
    assert (found.status, found.problems) == ("unready", (problem,))


def test_a_channel_that_is_down_or_failed_is_told_and_stays_ready():
    children = (
        ChildState(name="irc", state="disconnected", since=0.0, why="connection refused"),
        ChildState(name="slack", state="failed", since=0.0, last_error="SettingError: bad token"),
        ChildState(name="shop", state="ready", since=0.0),
    )
    found = readiness(replace(WELL, children=children))
    assert found.status == "ready"
    assert found.troubles == ("irc is disconnected: connection refused", "slack is failed: SettingError: bad token")


async def test_the_three_endpoints_answer(serve):
    vitals = [WELL]
    caller = await serve(health_routes(lambda: vitals[0], Metrics(Book()), Access()))
    assert (await caller.ask("GET", "/healthz")).json == {"status": "alive"}
    assert (await caller.ask("GET", "/readyz")).json == {"status": "ready"}
    scrape = await caller.ask("GET", "/metrics")
    assert scrape.status == 200 and b"oclaw_accepted" in scrape.body
    vitals[0] = replace(WELL, state="draining")
    answer = await caller.ask("GET", "/readyz")
    assert (answer.status, answer.json["problems"]) == (503, ["the gateway is draining"])
    assert (await caller.ask("GET", "/healthz")).status == 200
    assert (await caller.ask("HEAD", "/readyz")).status == 503


async def test_words_of_a_crash_that_no_utf_8_can_hold_leave_the_gateway_ready(serve):
    broken = ChildState(name="irc", state="failed", since=0.0, last_error="OSError: no file \udc80")
    caller = await serve(health_routes(lambda: replace(WELL, children=(broken,)), Metrics(Book()), Access()))
    answer = await caller.ask("GET", "/readyz")
    assert (answer.status, answer.json["troubles"]) == (200, ["irc is failed: OSError: no file \ufffd"])


@pytest.mark.parametrize("name", ["127.0.0.1:8420", "localhost", "LOCALHOST:80", "[::1]:8420", "[::1]"])
def test_a_request_from_this_machine_to_this_machine_is_local(name):
    assert not_local(asked(Host=name)) == ""
    assert not_local(asked("", Host="x")) == "", "who opens a Unix socket is on this machine"


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "rebound.example:8420"},
        {"Host": "127.0.0.1.evil.example"},
        {"X_Forwarded_For": "203.0.113.9"},
        {"Forwarded": "for=203.0.113.9"},
        {"Via": "1.1 proxy"},
        {"CF_Connecting_IP": "203.0.113.9"},
        {"Origin": "https://evil.example"},
        {"version": "1.0"},
    ],
)
def test_a_rebound_name_a_page_or_a_proxy_is_not_local(headers):
    assert not_local(asked(**headers))


def test_metrics_are_for_local_peers_listed_networks_and_the_token():
    access = Access(["10.0.0.0/8", "fd00::/8"], token="s3cret-token")
    for welcome in (
        asked(),
        asked("10.1.2.3", Host="gateway.example"),
        asked("::ffff:10.1.2.3", version="1.0", Host="gateway.example"),
        asked("203.0.113.9", Host="gateway.example", Authorization="Bearer s3cret-token"),
    ):
        assert access.objection(welcome) == ""
    assert access.objection(asked("203.0.113.9", Host="gateway.example", Authorization="Bearer wrong"))
    assert Access().objection(asked("203.0.113.9", Host="gateway.example", Authorization="Bearer "))


def test_a_scraper_on_this_machine_that_speaks_http_1_0_is_told_what_to_do():
    assert "HTTP/1.1" in Access().objection(asked(version="1.0"))
    assert Access(["127.0.0.1"]).objection(asked(version="1.0")) == ""
