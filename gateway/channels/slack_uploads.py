"""Files to Slack, in the three steps that it wants: ask for an address, send the bytes, share them in a conversation.

Only the last step shows anything, so everything before it may be repeated; it carries the text as well. Whether it
was done before is found by the files' names in the conversation.
"""

from __future__ import annotations

from typing import Any

from gateway.channels.shared.errors import MediaRefused
from gateway.channels.shared.media import MediaDoor
from gateway.channels.slack_api import NotAnswered, WebApi, receipt_for
from gateway.channels.slack_fields import text
from gateway.message.message import Attachment, Message
from gateway.message.receipt import Bounced, Deferred, Receipt, Unknown
from gateway.ports import Kit
from protocols.errors import HttpClientError
from protocols.http_client.exchange import Sized

_PLAIN_BYTES = (("Content-Type", "application/octet-stream"),)
_ANSWER_BYTES = 64 * 1024


class Uploads:
    """The file side of one account's way out."""

    def __init__(self, api: WebApi, door: MediaDoor, kit: Kit) -> None:
        self._api, self._door, self._kit = api, door, kit

    async def prepare(self, files: tuple[Attachment, ...]) -> list[dict[str, str]] | Receipt:
        """Send the bytes of all files; returns what names them, or why it could not be done. Nobody sees them yet."""
        made = []
        for file in files:
            try:
                known = await self._send(file)
            except MediaRefused as error:
                return Bounced(str(error))
            except KeyError:
                return Bounced(f"The file {file.name or file.ref} is not kept any more.")
            except HttpClientError as error:
                return Deferred(f"A file could not be sent: {error}")
            except NotAnswered as unheard:
                return _put_off(unheard.receipt)
            if not isinstance(known, str):
                return known
            made.append({"id": known, "title": name_for(file)})
        return made

    def sharing(self, made: list[dict[str, str]], reply: Message, comment: str) -> dict[str, Any]:
        """Return the arguments of files.completeUploadExternal."""
        arguments: dict[str, Any] = {"files": made, "channel_id": reply.conversation.id}
        if comment:
            arguments["initial_comment"] = comment
        if reply.conversation.thread:
            arguments["thread_ts"] = reply.conversation.thread
        return arguments

    async def _send(self, file: Attachment) -> str | Receipt:
        length = await self._door.size(file)
        asked = {"filename": name_for(file), "length": length}
        said = await self._api.call("files.getUploadURLExternal", asked, form=True)
        if not said.ok:
            return _put_off(receipt_for(said))
        url = text(said.document, "upload_url")
        if not self._door.admits(url):
            return Bounced(f"Slack wants the file at {url[:100]!r}, which is not on file_hosts.")
        async with self._door.pieces(file) as pieces:
            answered = await self._kit.http.request(
                "POST", url, headers=_PLAIN_BYTES, body=Sized(pieces, length), body_bytes=_ANSWER_BYTES
            )
        if answered.status != 200:
            return Deferred(f"The file's address answered {answered.status}.")
        return text(said.document, "file_id")


def _put_off(receipt: Receipt) -> Receipt:
    """Nobody sees a file before it is shared: what may have worked is done again, and no doubt is left."""
    return Deferred(receipt.why) if isinstance(receipt, Unknown) else receipt


def name_for(file: Attachment) -> str:
    """Return the name a file has on Slack."""
    return file.name or f"file.{file.mime.partition('/')[2].partition('+')[0] or 'bin'}"
