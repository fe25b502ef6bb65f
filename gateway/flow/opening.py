"""A message whose accepting commit is still to be submitted, as the end of its walk sees it.

Where the walk ends before that, both ends go into one work of the journal and one sealed record.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from gateway.records import HandOver, Outcome


class Opening(Struct, frozen=True):
    """What the door leaves to the hand-over: `plain` is the encoded envelope, not sealed yet.

    `close(sealed, end, then)` submits the message with the end of its walk; after the commit, and after the door,
    `then` hears `Moved` when both are stored.
    """

    plain: bytes
    close: Callable[[bytes, HandOver, Callable[[Outcome], None]], None]
