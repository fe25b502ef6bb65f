"""Stream notices to one watcher as newline-delimited JSON, for `oclaw tail`.

Each line has `at` (epoch seconds), `notice` (its name), `level` and the notice's fields. A
reader that is too slow loses notices and reads `{"notice": "Gap", "missed": n}` in their
place. A quiet gateway still sends an empty line now and then, so that both sides notice
when the other is gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import trio

from gateway.telemetry import Gap, Masks, Seen, Verbosity, Watchers
from gateway.telemetry.lines import json_line, record_of

if TYPE_CHECKING:
    from protocols.hub.exchange import AnswerStream, Exchange

_HEADERS = (("Content-Type", "application/x-ndjson"), ("Cache-Control", "no-store"))
HEARTBEAT_SECONDS = 15.0


async def stream_tail(exchange: Exchange, watchers: Watchers, *, masks: Masks, verbosity: Verbosity) -> None:
    """Answer with every notice from now on, until the reader goes away or the gateway ends."""
    with watchers.watch() as seen:
        async with exchange.stream(200, _HEADERS) as answer:
            if answer.silent:
                return
            # At once, so that the reader knows from when on nothing is missed.
            await answer.send(b"\n")
            while True:
                await _next(seen, answer, masks, verbosity)


async def _next(
    seen: trio.MemoryReceiveChannel[Seen | Gap], answer: AnswerStream, masks: Masks, verbosity: Verbosity
) -> None:
    line = b"\n"
    with trio.move_on_after(HEARTBEAT_SECONDS):
        line = _line(await seen.receive(), masks, texts=verbosity.texts)
    await answer.send(line)


def _line(item: Seen | Gap, masks: Masks, *, texts: bool) -> bytes:
    if isinstance(item, Gap):
        return msgspec.json.encode({"notice": "Gap", "level": "warning", "missed": item.missed}) + b"\n"
    record = record_of(item.notice, item.at, masks=masks, envelope_id=item.envelope_id, texts=texts)
    del record["time"]
    return json_line({"at": item.at, "notice": record.pop("event"), **record}).encode()
