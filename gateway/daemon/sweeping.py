"""Remove kept files once no message can need them: by their age, but for what the journal keeps for longer.

What waits for a person is kept without an end, and a message that died late for weeks beyond a file's age; released
or retried, it still has its attachments.
"""

from __future__ import annotations

import trio

from gateway.errors import SealError
from gateway.flow.rows import delivery_in, envelope_in
from gateway.journal.desk import Desk
from gateway.media.store import SealedFiles
from gateway.message.lifecycle import DeliveryState, InboundState
from gateway.message.message import Message
from gateway.message.seal import Sealer
from gateway.notices import Report, RequestFailed
from gateway.supervise.crash import tell

DAY = 86_400.0
# In the order in which a message walks, so that one that goes on meanwhile is met later.
_MESSAGES = (
    InboundState.DEAD,
    InboundState.UNROUTED,
    InboundState.HELD,
    InboundState.DELAYED,
    InboundState.ACCEPTED,
)
_REPLIES = tuple(each for each in DeliveryState if each not in (DeliveryState.DELIVERED, DeliveryState.DROPPED))
# Opening these takes some 3 ms of the loop.
_PAGE = 100


async def sweep_daily(media: SealedFiles, journal: Desk, sealer: Sealer, keep_days: float, report: Report) -> None:
    """Sweep at the start and every day, for ever; what goes wrong is reported."""
    while True:
        try:
            before = await journal.wall_before(keep_days * DAY)
            await media.sweep(before, await named_by_what_is_kept(journal, sealer, before))
        except Exception as error:  # the disk: old files stay for a day more, and nothing else suffers
            report(RequestFailed("the daily removal of old files", tell(error)))
        await trio.sleep(DAY)


async def named_by_what_is_kept(journal: Desk, sealer: Sealer, before: float) -> set[str]:
    """Return the files of unfinished and dead messages and replies, as far as those can be older than `before`.

    A file is written before its message is accepted; a day is more than any channel takes in between.
    """
    refs: set[str] = set()
    for state in _MESSAGES:
        seq = 0
        while rows := await journal.inbound_before(state, before + DAY, limit=_PAGE, after_seq=seq):
            for row in rows:
                try:
                    refs |= _files(envelope_in(sealer, row).message)
                except SealError:  # its key is gone, and nobody will send it any more
                    continue
            seq = rows[-1].seq
    for standing in _REPLIES:
        seq = 0
        while found := await journal.deliveries_before(standing, before + DAY, limit=_PAGE, after_seq=seq):
            for reply in found:
                try:
                    refs |= _files(delivery_in(sealer, reply).message)
                except SealError:
                    continue
            seq = found[-1].seq
    return refs


def _files(message: Message) -> set[str]:
    return {attachment.ref for attachment in message.attachments if attachment.ref}
