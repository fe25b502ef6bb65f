"""How much one connection may ask of us, and how long we wait for it.

The defaults are for a gateway between services: generous windows, a few hundred calls at once, and counters
that a healthy client never reaches.
"""

from __future__ import annotations

import msgspec

KIB = 1024
MIB = 1024 * KIB


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Everything is per connection. Sizes are bytes, times seconds."""

    # 2 MiB lets one stream fill a 100 ms path at 160 Mbit/s; four such streams share a connection.
    stream_window_bytes: int = 2 * MIB
    connection_window_bytes: int = 8 * MIB
    max_frame_bytes: int = 256 * KIB
    max_header_list_bytes: int = 16 * KIB
    # Counts handlers that still run, not streams that are open: a client that resets what it opened
    # (CVE-2023-44487) does not get more work done for it than one that waits.
    max_streams: int = 1000
    # What the peer may make us keep, unread and as parts of messages: four of the largest, which is twice the window.
    # It takes eight such connections to fill what all of them share (held.py).
    held_bytes: int = 16 * MIB
    # And what it always may, whatever others hold: a chat message and more. Each has four times as much for a frame
    # that has not ended; the 4,096 connections that [listen] takes by default come to 256 MiB.
    sure_bytes: int = 64 * KIB

    # Senders wait above these. A slow reader can cost one connection's unsent bytes, and one message for each of its
    # streams, which are open until that is framed.
    unsent_stream_bytes: int = 64 * KIB
    unsent_connection_bytes: int = 256 * KIB
    # Answers to the peer's own frames (acks, resets) that it does not read; nothing honest gets here.
    unread_control_bytes: int = 4 * MIB

    # Streams the peer may reset at once, and per second thereafter. Twice max_streams, so that a client
    # that cancels everything it has, twice in a row, is not an attacker.
    resets_burst: int = 2000
    resets_per_second: float = 200.0
    # PING, SETTINGS, PRIORITY, empty DATA and unknown frames: what costs us work and brings none. Every useful frame
    # earns one back, and the first PING after something that we said is free: clients measure the path with them.
    idle_frames_burst: int = 1000
    idle_frames_per_second: float = 50.0

    handshake_seconds: float = 10.0
    # Silence after which the peer is asked whether it lives, and how long it may take to answer.
    keepalive_seconds: float = 60.0
    keepalive_answer_seconds: float = 20.0
    # A draining peer's PING answer is awaited this long before the final GOAWAY goes out anyway.
    drain_answer_seconds: float = 2.0
    # The last GOAWAY must leave within this, or the connection is cut.
    farewell_seconds: float = 1.0
    # After a drain's last answer a server waits for the peer to hang up, until it was not heard for so long: slow
    # readers send a WINDOW_UPDATE every few seconds, and the 256 KiB that may be unsent take 10 s at 200 kbit/s.
    linger_seconds: float = 10.0
