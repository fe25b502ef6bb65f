"""What the connection core tells its driver: a closed union of small values."""

from __future__ import annotations

import msgspec

Header = tuple[bytes, bytes]
Headers = list[Header]


class Opened(msgspec.Struct, frozen=True):
    """A request's headers arrived (servers)."""

    stream_id: int
    headers: Headers


class Answered(msgspec.Struct, frozen=True):
    """A response's headers arrived (clients)."""

    stream_id: int
    headers: Headers


class Trailed(msgspec.Struct, frozen=True):
    """Trailers arrived; `Ended` follows."""

    stream_id: int
    headers: Headers


class Chunk(msgspec.Struct, frozen=True):
    """Body bytes arrived. `size` counts against flow control (padding included) until `consumed`."""

    stream_id: int
    body: bytes
    size: int


class Ended(msgspec.Struct, frozen=True):
    """The peer sends nothing more on this stream."""

    stream_id: int


class WasReset(msgspec.Struct, frozen=True):
    """The stream ended early, by RST_STREAM from the peer or because it broke a rule of its stream."""

    stream_id: int
    code: int


class SettingsArrived(msgspec.Struct, frozen=True):
    """The peer's SETTINGS are in force; `max_streams` is what it lets us open."""

    max_streams: int


class Ponged(msgspec.Struct, frozen=True):
    """The peer answered a PING of ours."""

    payload: bytes


class GoneAway(msgspec.Struct, frozen=True):
    """The peer takes no streams above `last_stream_id`; those up to it go on."""

    last_stream_id: int
    code: int
    reason: bytes


Event = Opened | Answered | Trailed | Chunk | Ended | WasReset | SettingsArrived | Ponged | GoneAway
