"""What can go wrong on an HTTP/2 connection, one class for each thing a caller can do about it."""

from __future__ import annotations


class Http2Error(Exception):
    """Everything this package raises."""


class PeerBrokeRules(Http2Error):
    """The peer violated HTTP/2 or a limit: the GOAWAY that says so is ready to be sent, then hang up."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"The peer broke the rules of HTTP/2 (error code {code}): {reason}")
        self.code = code
        self.reason = reason


class StreamReset(Http2Error):
    """One stream was ended early with RST_STREAM; the connection lives on."""

    def __init__(self, code: int) -> None:
        super().__init__(f"The peer reset the stream with HTTP/2 error code {code}.")
        self.code = code


class StreamRefused(Http2Error):
    """The peer never looked at this stream (REFUSED_STREAM, or beyond its GOAWAY): safe to try again."""


class ConnectionLost(Http2Error):
    """The connection ended under the stream: whether the peer did the work is unknown."""


class HandshakeFailed(Http2Error):
    """The other side could not be reached, or does not speak HTTP/2 the way we require."""
