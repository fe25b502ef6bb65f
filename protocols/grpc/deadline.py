"""Say how long a call may take: the `grpc-timeout` header and the moment it stands for."""

from __future__ import annotations

import math
import re

import trio

from protocols.grpc.errors import MetadataError

_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_TIMEOUT = re.compile(rb"([0-9]{1,8})([HMSmun])\Z")
# The header has eight digits: pick the finest unit in which the time still fits.
_FINEST_FIRST = (("u", 1e-6), ("m", 1e-3), ("S", 1.0), ("M", 60.0), ("H", 3600.0))


class Deadline:
    """A moment on Trio's clock, in the shape grpclib's handlers expect."""

    __slots__ = ("at",)

    def __init__(self, at: float) -> None:
        self.at = at

    def time_remaining(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.at - trio.current_time())


def decode_timeout(value: bytes) -> float:
    """Seconds. Raises MetadataError when it is not one to eight digits and a unit."""
    match = _TIMEOUT.match(value)
    if match is None:
        raise MetadataError(f"The grpc-timeout header is {value!r}; it must be up to 8 digits and one of H M S m u n.")
    return int(match[1]) * _UNITS[match[2].decode()]


def encode_timeout(seconds: float) -> bytes:
    """The header for what is left of a call, rounded up to its unit; a past deadline is one nanosecond."""
    if seconds <= 0:
        return b"1n"
    for unit, size in _FINEST_FIRST:
        count = math.ceil(seconds / size)
        if count < 100_000_000:
            return b"%d%s" % (count, unit.encode())
    return b"99999999H"
