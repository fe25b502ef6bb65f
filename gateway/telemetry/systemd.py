"""Tell systemd how the daemon stands (sd_notify(3)): one datagram a fact, nothing when nobody listens.

The watchdog is fed only while `alive()` says so: a loop that turns while the journal's writer
is dead must be restarted all the same.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping

import trio

READY = "READY=1"
STOPPING = "STOPPING=1"
WATCHDOG = "WATCHDOG=1"


def notify(*facts: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Send facts such as `READY` or "STATUS=draining". Never raises, never waits; False when they were not sent."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    # A leading "@" stands for the zero byte of Linux's abstract name space.
    name = "\0" + address[1:] if address.startswith("@") else address
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.settimeout(0.0)
            sock.sendto("\n".join(facts).encode(), name)
    except OSError:
        return False
    return True


def reloading() -> str:
    """Return the facts that open a reload under Type=notify-reload; `READY` closes it."""
    # systemd compares this moment with its own to tell a new reload from an old one.
    return f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}"


def watchdog_seconds(environ: Mapping[str, str] = os.environ) -> float:
    """Return how often systemd wants to hear from this process, 0 when it does not."""
    microseconds, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not microseconds.isdecimal() or (pid and pid != str(os.getpid())):
        return 0.0
    return int(microseconds) / 1e6


async def feed_watchdog(alive: Callable[[], bool], environ: Mapping[str, str] = os.environ) -> None:
    """Feed it at a third of its patience until cancelled; return at once when there is none.

    While `alive()` is false nothing is sent, and systemd restarts the daemon.
    """
    every = watchdog_seconds(environ) / 3
    while every:
        if alive():
            notify(WATCHDOG, environ=environ)
        await trio.sleep(every)
