"""Files of rooms: into the gateway's store before the commit, and from there to the homeserver.

The homeserver gives a file only to somebody who may see it, so its `mxc://` address means nothing to others: what is
not taken in time, or is too large, keeps that address and has no content here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import trio
from msgspec.structs import replace

from gateway.channels.matrix_homeserver import Answer, Homeserver, read_answer, segment
from gateway.channels.matrix_rooms import Recent
from gateway.channels.matrix_settings import Settings
from gateway.channels.shared.errors import MediaRefused
from gateway.channels.shared.media import MediaDoor
from gateway.message.message import Attachment, Message
from gateway.notices import EnvelopeRefused
from gateway.ports import Kit
from protocols.errors import HttpClientError
from protocols.http_client.exchange import Sized

_MXC = re.compile(r"mxc://([A-Za-z0-9.:-]{1,255})/([A-Za-z0-9_-]{1,255})")
_MSGTYPES = {"image": "m.image", "audio": "m.audio", "video": "m.video"}


class Files:
    """The files of one account."""

    def __init__(self, name: str, settings: Settings, kit: Kit, homeserver: Homeserver) -> None:
        self._name, self._settings, self._kit, self._homeserver = name, settings, kit, homeserver
        hosts = (settings.homeserver_url,)
        self._door = MediaDoor(kit.media, hosts=hosts, max_bytes=settings.media_bytes, client=kit.http)
        # A transaction that has to be repeated finds its files here.
        self._taken: Recent[str, Attachment] = Recent(256)

    def wanted(self, messages: Sequence[Message]) -> bool:
        """Tell whether there is something to fetch."""
        if self._kit.media is None or not self._settings.media_bytes:
            return False
        return any(attachment.url and not attachment.ref for message in messages for attachment in message.attachments)

    async def fetched(self, messages: Sequence[Message]) -> tuple[Message, ...]:
        """Return the messages with their files in the store; those that cannot be had in time go without."""
        kept = list(messages)
        with trio.move_on_after(self._settings.media_seconds):
            await trio.lowlevel.checkpoint()
            for index, message in enumerate(messages):
                files = [await self._fetched(attachment) for attachment in message.attachments]
                kept[index] = replace(message, attachments=tuple(files))
        return tuple(kept)

    async def upload(self, attachment: Attachment) -> Answer:
        """Give a file to the homeserver; the answer's `content_uri` names it. Raises `MediaRefused`."""
        if not attachment.ref:
            if _MXC.fullmatch(attachment.url):
                return Answer(200, {"content_uri": attachment.url})
            raise MediaRefused("The file is not in the gateway's store.")
        try:
            return await self._uploaded(attachment)
        except KeyError as error:
            raise MediaRefused(f"The file {attachment.name or attachment.ref} is not kept any more.") from error

    async def _uploaded(self, attachment: Attachment) -> Answer:
        size = await self._door.size(attachment)
        headers = (*self._homeserver.headers, ("Content-Type", attachment.mime or "application/octet-stream"))
        url = self._homeserver.url(f"/_matrix/media/v3/upload?filename={segment(attachment.name or 'file')}")
        async with self._door.pieces(attachment) as pieces:
            answered = await self._kit.http.request("POST", url, headers=headers, body=Sized(pieces, size))
        return read_answer(answered, now=self._kit.now())

    async def _fetched(self, attachment: Attachment) -> Attachment:
        if (taken := self._taken.get(attachment.url)) is not None:
            return replace(taken, name=attachment.name, kind=attachment.kind)
        found = _MXC.fullmatch(attachment.url)
        if found is None:
            return attachment
        url = self._homeserver.url(f"/_matrix/client/v1/media/download/{found[1]}/{found[2]}")
        try:
            stored = await self._door.fetch(replace(attachment, url=url), headers=self._homeserver.headers)
        except (MediaRefused, HttpClientError) as error:
            self._kit.report(EnvelopeRefused(self._name, "media", str(error)))
            return attachment
        kept = replace(stored, url=attachment.url)
        self._taken.put(attachment.url, replace(kept, name=""))
        return kept


def content_for(attachment: Attachment, uri: str) -> dict[str, Any]:
    """Return the content of the event that shows an uploaded file."""
    info = {"mimetype": attachment.mime or "application/octet-stream"}
    return {
        "msgtype": _MSGTYPES.get(attachment.kind, "m.file"),
        "body": attachment.name or "file",
        "filename": attachment.name or "file",
        "url": uri,
        "info": info | ({"size": attachment.size} if attachment.size else {}),
    }
