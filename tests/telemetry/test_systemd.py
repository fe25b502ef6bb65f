"""sd_notify over a real datagram socket."""

from __future__ import annotations

import os
import socket

import pytest
import trio
import trio.testing

from gateway.telemetry.systemd import READY, feed_watchdog, notify, reloading, watchdog_seconds


@pytest.fixture
def listener(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.setblocking(False)
        yield sock


def heard(listener):
    return listener.recv(4096).decode()


def test_facts_arrive_in_one_datagram(listener):
    assert notify(READY, "STATUS=serving", environ={"NOTIFY_SOCKET": listener.getsockname()})
    assert heard(listener) == "READY=1\nSTATUS=serving"


def test_an_abstract_address_works():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(f"\0oclaw-test-{os.getpid()}")
        sock.setblocking(False)
        assert notify(READY, environ={"NOTIFY_SOCKET": f"@oclaw-test-{os.getpid()}"})
        assert heard(sock) == "READY=1"


def test_without_a_listener_nothing_happens(tmp_path):
    assert not notify(READY, environ={})
    assert not notify(READY, environ={"NOTIFY_SOCKET": "vsock:2:1234"})
    assert not notify(READY, environ={"NOTIFY_SOCKET": str(tmp_path / "nobody")})


def test_a_reload_carries_its_moment():
    assert reloading().startswith("RELOADING=1\nMONOTONIC_USEC=")


def test_the_watchdog_counts_only_when_it_is_meant_for_this_process():
    assert watchdog_seconds({"WATCHDOG_USEC": "30000000"}) == 30.0
    assert watchdog_seconds({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}) == 30.0
    assert watchdog_seconds({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}) == 0.0
    assert watchdog_seconds({}) == 0.0


async def test_the_watchdog_is_fed_only_while_the_gateway_is_alive(listener, mock_clock):
    alive = [True]
    environ = {"NOTIFY_SOCKET": listener.getsockname(), "WATCHDOG_USEC": "30000000"}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(feed_watchdog, lambda: alive[0], environ)
        await trio.testing.wait_all_tasks_blocked()
        assert heard(listener) == "WATCHDOG=1"
        mock_clock.jump(10)
        await trio.testing.wait_all_tasks_blocked()
        assert heard(listener) == "WATCHDOG=1"
        alive[0] = False
        mock_clock.jump(10)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(BlockingIOError):
            heard(listener)
        nursery.cancel_scope.cancel()


async def test_without_a_watchdog_there_is_nothing_to_feed():
    await feed_watchdog(lambda: True, {})
