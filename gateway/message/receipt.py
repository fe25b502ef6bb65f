"""What came of one attempt to deliver: the four answers a channel can give."""

from __future__ import annotations

from msgspec import Struct


class Delivered(Struct, frozen=True, tag="delivered"):
    """The platform took it; `remote_id` is the platform's name for it, where it gives one."""

    remote_id: str = ""


class Deferred(Struct, frozen=True, tag="deferred"):
    """Not now: try again after `after_seconds`, or by the outbox's own schedule when that is None.

    `offline`: nothing whatever could go there now: there is no connection to the platform at all, nobody there whom
    it is for, no credential that it takes, or it was not its turn. Such an attempt is not counted; the delivery waits,
    as long as it lives, for `after_seconds` or for the channel to wake it.
    """

    why: str
    after_seconds: float | None = None
    offline: bool = False


class Unsent(Deferred, frozen=True, tag="deferred"):
    """Not a byte of it left, as its address could not be reached; kept in the journal as the Deferred that it is.

    That says nothing against this delivery, so it is never the last attempt: it is tried as long as it lives, at
    growing pauses, by one probe at a time for all that go to this address.
    """


class Bounced(Struct, frozen=True, tag="bounced"):
    """Never: trying again cannot help. `disable` asks to stop all traffic to this destination (HTTP 410)."""

    why: str
    disable: bool = False


class Unknown(Struct, frozen=True, tag="unknown"):
    """Sent, but no answer told what became of it."""

    why: str


Receipt = Delivered | Deferred | Bounced | Unknown
