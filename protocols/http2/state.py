"""What is known of one stream: how far each side is, and the bytes that are not framed yet. Pure."""

from __future__ import annotations

from protocols.http2.events import Headers


class StreamState:
    """`finished` and `ended` tell that we and the peer have ended our sides, `reset` that the stream was cut."""

    __slots__ = (
        "answered", "body", "closing", "ended", "expected", "finished", "id", "receive_window", "reset",
        "send_window", "trailers", "unacknowledged",
    )  # fmt: skip

    def __init__(self, stream_id: int, send_window: int, receive_window: int) -> None:
        self.id = stream_id
        # -- what we send
        self.send_window = send_window
        self.body = bytearray()
        self.closing = False
        self.trailers: Headers | None = None
        self.finished = False
        # -- what the peer sends
        self.receive_window = receive_window
        self.unacknowledged = 0
        # The head has arrived: a request's at once, a response's later.
        self.answered = True
        # Body bytes still to come by content-length.
        self.expected: int | None = None
        self.ended = False
        self.reset = False
