"""Files that come with a post are fetched before it is acknowledged, and nothing overtakes a post that waits for one.

A file's address needs the bot token, so whoever is to see the file needs our copy. Slack allows three seconds for the
acknowledgement: what is not here by then stays an address. Posts of the same channel wait for each other, others pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import trio
from msgspec.structs import replace

from gateway.channels.shared.errors import MediaRefused
from gateway.channels.shared.media import MediaDoor
from gateway.channels.slack_api import NotAnswered, WebApi
from gateway.channels.slack_events import attachment_of, hidden_file, type_of
from gateway.channels.slack_fields import listed, table
from gateway.message.message import Attachment, Message
from gateway.notices import EnvelopeRefused, Report
from protocols.errors import HttpClientError


class Turns:
    """Who is next in each channel. `take` is plain, so that the order is the order of the calls."""

    def __init__(self) -> None:
        self._last: dict[str, trio.Event] = {}

    def busy(self, key: str) -> bool:
        """Tell whether somebody holds a turn there."""
        return key in self._last

    def take(self, key: str) -> Turn:
        """Take the next place in the order."""
        turn = Turn(self, key, self._last.get(key))
        self._last[key] = turn.over
        return turn

    def leave(self, turn: Turn) -> None:
        """Let the next one in."""
        turn.over.set()
        if self._last.get(turn.key) is turn.over:
            del self._last[turn.key]


class Turn:
    """`with turn`: held until the block is left, however that is. `comes` returns when everybody before is through."""

    def __init__(self, turns: Turns, key: str, before: trio.Event | None) -> None:
        self.key, self.over = key, trio.Event()
        self._turns, self._before = turns, before

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self._turns.leave(self)

    async def comes(self) -> None:
        """Wait for the others; what takes time is better done before: then nobody waits for more than one file."""
        if self._before is not None:
            await self._before.wait()


class Files:
    """Fetches the files of a post, together, within `seconds`."""

    def __init__(
        self, api: WebApi, door: MediaDoor, token: str, *, seconds: float, channel: str, report: Report
    ) -> None:
        self._api, self._door, self._seconds, self._channel, self._report = api, door, seconds, channel, report
        self._headers = (("Authorization", f"Bearer {token}"),)

    def wanted(self, messages: Sequence[Message]) -> bool:
        """Tell whether there is anything to fetch."""
        return self._seconds > 0 and any(each.attachments or _hidden(each) for each in messages)

    async def fetched(self, message: Message) -> Message:
        """Return the message with what could be fetched in time; the rest keeps its address alone."""
        found, hidden = list(message.attachments), _hidden(message)
        found += [Attachment()] * len(hidden)
        first_hidden = len(message.attachments)
        with trio.move_on_after(self._seconds) as scope:
            async with trio.open_nursery() as nursery:
                for index in range(first_hidden):
                    nursery.start_soon(self._fetch, found, index)
                for index, file_id in enumerate(hidden, first_hidden):
                    nursery.start_soon(self._ask, found, index, file_id)
        if scope.cancelled_caught:
            self._missed(f"A file was not here within {self._seconds:g} s.")
        known = tuple(each for each in found if each.url or each.ref)
        if not hidden:
            return replace(message, attachments=known)
        return replace(message, attachments=known, type=type_of(known, message.content))

    async def _ask(self, found: list[Attachment], index: int, file_id: str) -> None:
        """Find out about a file that belongs to another workspace, and fetch it."""
        try:
            said = await self._api.call("files.info", {"file": file_id}, form=True)
        except NotAnswered as unheard:
            self._missed(str(unheard))
            return
        if said.ok:
            found[index] = attachment_of(table(said.document, "file"))
            await self._fetch(found, index)
        else:
            self._missed(f"Slack tells nothing of the file {file_id}: {said.error}.")

    async def _fetch(self, found: list[Attachment], index: int) -> None:
        attachment = found[index]
        try:
            found[index] = await self._door.fetch(attachment, headers=self._headers, accept=_accepts(attachment))
        except (MediaRefused, HttpClientError) as error:
            self._missed(str(error))

    def _missed(self, why: str) -> None:
        self._report(EnvelopeRefused(self._channel, "media", why))


def _hidden(message: Message) -> list[str]:
    """Return the ids of the files of which Slack has told nothing yet. Clicks and commands have none."""
    if message.type in ("event", "command"):
        return []
    return [file_id for each in listed(message.metadata, "files") if (file_id := hidden_file(each))]


def _accepts(attachment: Attachment) -> Any:
    """Refuse a page where another file was announced: it is Slack's login, shown when the token lacks files:read."""
    return lambda mime: mime != "text/html" or attachment.mime == "text/html"
