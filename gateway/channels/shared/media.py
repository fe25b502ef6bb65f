"""Files in and out of a platform: streamed, capped, from known hosts alone, never into our own networks.

`MediaDoor` is made once by a channel. A URL in a message was written by a stranger: it is fetched only from
the hosts on the list, and only if the name stands for a public address at that very moment. Redirects
are followed by hand, a few times, each under the same rules.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Protocol
from urllib.parse import urljoin

from msgspec.structs import replace

from gateway.channels.allowed import BadUrl, Destinations, parse
from gateway.channels.shared.errors import MediaRefused
from gateway.errors import TooLarge
from gateway.files import MediaStore
from gateway.message.message import Attachment, AttachmentKind
from protocols.http1.messages import Fields

_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_MOST_REDIRECTS = 3


class Streams(Protocol):
    """What is needed of the HTTP client."""

    def stream(self, method: str, url: str, *, headers: Fields = ()) -> AbstractAsyncContextManager[Any]: ...


class MediaDoor:
    """One channel's files. `hosts` are "https://host" entries as in `reply_to_allowed`; `networks` private ones named.

    `client` is for tests; by default one is made that vets every address after name resolution.
    """

    def __init__(
        self,
        store: MediaStore | None,
        *,
        hosts: Sequence[str],
        max_bytes: int,
        networks: Sequence[str] = (),
        client: Streams | None = None,
    ) -> None:
        self._store, self._max_bytes = store, max_bytes
        self._to = Destinations(hosts, networks)
        self._client: Streams = client or vetted_client(self._to)

    def admits(self, url: str) -> bool:
        """Tell whether a URL is on the list; its address is vetted when it is fetched."""
        return self._to.allows(url)

    async def fetch(
        self, attachment: Attachment, *, headers: Fields = (), accept: Callable[[str], bool] = lambda _: True
    ) -> Attachment:
        """Take the file behind `attachment.url` into the store and return the attachment with its `ref`.

        `headers` (a token, say) go to the first host alone, never along a redirect to another. `accept` may refuse a
        media type. Raises `MediaRefused`; NothingSent and UnknownAfterSend (try again) pass.
        """
        if self._store is None:
            raise MediaRefused("This gateway has no store for files.")
        url, given = attachment.url, headers
        for _ in range(_MOST_REDIRECTS + 1):
            self._check(url)
            async with self._client.stream("GET", url, headers=given) as answer:
                if answer.status in _REDIRECTS:
                    target = urljoin(url, answer.headers.get("Location"))
                    given = given if _same_host(url, target) else ()
                    url = target
                    continue
                return await self._take(attachment, answer, accept)
        raise MediaRefused(f"The file was redirected more than {_MOST_REDIRECTS} times.")

    async def keep(self, pieces: AsyncIterator[bytes], attachment: Attachment) -> Attachment:
        """Take a file that came with the call itself. Raises `MediaRefused` beyond the size, or if the disk refuses."""
        if self._store is None:
            raise MediaRefused("This gateway has no store for files.")
        try:
            stored = await self._store.save(pieces, max_bytes=self._max_bytes)
        except TooLarge as error:
            raise MediaRefused(str(error)) from error
        except OSError as error:
            # A message must not be lost for a file of its, nor come again and again until the disk has room.
            raise MediaRefused(f"The file cannot be kept: {error.strerror or error}.") from error
        return replace(attachment, ref=stored.ref, size=stored.size)

    @asynccontextmanager
    async def pieces(self, attachment: Attachment) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open a file to be sent, `async with door.pieces(it) as body`: out of the store, or from its URL by the rules.

        Raises `MediaRefused`; `KeyError` when the store has it no more.
        """
        if attachment.ref and self._store is not None:
            async with aclosing(self._store.open(attachment.ref)) as body:
                yield body
            return
        self._check(attachment.url)
        async with self._client.stream("GET", attachment.url) as answer:
            if answer.status != 200:
                raise MediaRefused(f"The file's server answered {answer.status}.")
            yield self._bounded(answer)

    async def size(self, attachment: Attachment) -> int:
        """Return the size of a stored file, as platforms want it before the bytes; 0 when it is not known."""
        if attachment.ref and self._store is not None:
            return await self._store.size(attachment.ref)
        return attachment.size

    def _check(self, url: str) -> None:
        if not self._to.allows(url):
            raise MediaRefused(f"{url[:200]!r} is not on the list of hosts that files are taken from.")

    async def _take(self, attachment: Attachment, answer: Any, accept: Callable[[str], bool]) -> Attachment:
        if answer.status != 200:
            raise MediaRefused(f"The file's server answered {answer.status}.")
        mime = answer.headers.get("Content-Type").partition(";")[0].strip().lower()
        if not accept(mime):
            raise MediaRefused(f"The file's server sent {mime or 'no media type'} instead of the file.")
        announced = answer.headers.get("Content-Length")
        if announced.isdigit() and int(announced[:15]) > self._max_bytes:
            raise MediaRefused(f"The file has {announced} bytes; at most {self._max_bytes} are taken.")
        kept = await self.keep(self._bounded(answer), attachment)
        return replace(kept, mime=kept.mime or mime, kind=kept.kind if kept.kind != "file" else kind_of(mime))

    async def _bounded(self, answer: Any) -> AsyncIterator[bytes]:
        size = 0
        async for piece in answer:
            size += len(piece)
            if size > self._max_bytes:
                raise MediaRefused(f"The file has more than {self._max_bytes} bytes.")
            yield piece


def kind_of(mime: str) -> AttachmentKind:
    """Return what an attachment of this media type is to a reader."""
    match mime.partition("/")[0].lower():
        case "image":
            return "image"
        case "audio":
            return "audio"
        case "video":
            return "video"
        case _:
            return "file"


def vetted_client(to: Destinations, **options: Any) -> Any:
    """Make an HTTP client that connects only to public addresses, and to what the operator named."""
    from protocols.http_client.client import HttpClient

    def vet(host: str, address: IPv4Address | IPv6Address) -> str | None:
        return None if to.may_reach(address) else f"{host} is {address}, an address inside; it must be named"

    return HttpClient(vet=vet, **options)


def _same_host(one: str, other: str) -> bool:
    try:
        a, b = parse(one), parse(other)
    except BadUrl:
        return False
    return (a.scheme, a.host, a.port) == (b.scheme, b.host, b.port)
