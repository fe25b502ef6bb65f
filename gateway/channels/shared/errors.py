"""What can end a connection or a call to a platform, one class per thing the caller can do differently."""

from __future__ import annotations

from gateway.errors import OclawError


class ConnectionLost(OclawError):
    """The connection to the platform is over: connect again, not before `after_seconds` where the platform said so.

    A platform that is down, restarts or sends us away is no crash; nothing has to be repaired here.
    """

    def __init__(self, why: str, *, after_seconds: float = 0.0) -> None:
        self.why, self.after_seconds = why, after_seconds
        super().__init__(why)


class MediaRefused(OclawError):
    """A file is not taken: its address, its size or its answer forbids it. Trying again cannot help."""
