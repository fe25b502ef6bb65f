"""What can go wrong on the wire, one class per thing a caller can do differently.

A server meets `Refusal` (answer with this status and close), `ClientGone` (stop working for
this client) and the two programming errors `AlreadyAnswered` and `UnsafeHeader`. A client
needs one distinction above all others: could the other side have acted on the request?
`NothingSent` says no, `UnknownAfterSend` says that nobody knows.
"""

from __future__ import annotations


class Refusal(Exception):
    """Bytes that are not an acceptable request: answer `status` with this reason, then close."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"{status}: {detail}")
        self.status = status
        self.detail = detail


class ClientGone(Exception):
    """The client of this exchange has closed or broken its connection; nobody reads any more."""


class AlreadyAnswered(RuntimeError):
    """An exchange was answered a second time; each takes exactly one answer."""


class UnsafeHeader(ValueError):
    """A header of ours holds a line break, a NUL or a bad name; sending it would split the message."""


class ListenError(Exception):
    """A listening socket could not be opened; the message names the address and the way out."""


class HttpClientError(Exception):
    """A request of ours failed. The subclasses tell what is known about the other side."""


class NothingSent(HttpClientError):
    """No byte of the request left this machine: trying again cannot do the work twice."""


class AddressRefused(NothingSent):
    """The name resolves only to addresses that the caller does not allow."""


class BadUrl(NothingSent):
    """The URL is not an absolute http or https URL."""


class UnknownAfterSend(HttpClientError):
    """Bytes of the request were sent and no usable answer came: the work may or may not be done."""


class BadAnswer(UnknownAfterSend):
    """The other side answered with something that is not HTTP/1.1."""


class AnswerTooLarge(UnknownAfterSend):
    """The answer's body is larger than the caller's bound."""


class WebSocketClosed(Exception):
    """The WebSocket connection is over. `code` is 1006 when it broke without a farewell."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(f"the WebSocket connection is closed ({code}{': ' + reason if reason else ''})")
        self.code = code
        self.reason = reason


class HandshakeRefused(Exception):
    """The other side did not agree to speak WebSocket. `status` is its HTTP answer, 0 when there was none."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
