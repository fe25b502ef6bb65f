"""Files from strangers' addresses: from known hosts alone, capped, never out of our own networks."""

from __future__ import annotations

import errno
import os
import random
import socket
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio

from gateway.channels.shared.errors import MediaRefused
from gateway.channels.shared.media import MediaDoor, kind_of
from gateway.media.store import SealedFiles
from gateway.message.dictionary import Dictionaries
from gateway.message.keyring import new_keyring
from gateway.message.message import Attachment
from gateway.message.seal import Sealer
from protocols.errors import AddressRefused, HttpClientError
from protocols.http1.headers import Headers

HOST = "https://files.example.com"


class Answer:
    """What one URL answers."""

    def __init__(self, status=200, body=b"", **headers):
        self.status, self._body = status, body
        self.headers = Headers.of(tuple((name.replace("_", "-"), value) for name, value in headers.items()))

    async def __aiter__(self):
        for at in range(0, len(self._body), 1000):
            await trio.lowlevel.checkpoint()
            yield self._body[at : at + 1000]


class Web:
    """A client whose web is a table; remembers what was asked with which headers."""

    def __init__(self, **pages):
        self.pages, self.asked = pages, []

    @asynccontextmanager
    async def stream(self, method, url, *, headers=()):
        await trio.lowlevel.checkpoint()
        self.asked.append((url, dict(headers)))
        yield self.pages[url.rpartition("/")[2]]


@pytest.fixture
def door(tmp_path):
    store = SealedFiles(tmp_path)
    store.unlock(Sealer(new_keyring(0.0, random.Random(1).randbytes), Dictionaries(), os.urandom))

    def make(web, **options):
        return MediaDoor(store, **{"hosts": [HOST], "max_bytes": 10_000, "client": web, **options})

    return make


def at(name, host=HOST):
    return Attachment(url=f"{host}/{name}")


async def test_a_file_is_kept_and_can_be_sent_on(door):
    it = door(Web(cat=Answer(body=b"meow" * 1000, Content_Type="image/png; q=1")))
    kept = await it.fetch(at("cat"), headers=(("Authorization", "Bearer t"),))
    assert (kept.kind, kept.mime, kept.size, kept.url) == ("image", "image/png", 4000, f"{HOST}/cat")
    async with it.pieces(kept) as pieces:
        assert b"".join([piece async for piece in pieces]) == b"meow" * 1000
    assert await it.size(kept) == 4000


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example.com/cat", "http://files.example.com/cat", "https://files.example.com:444/cat",
        "https://files.example.com@evil.example/cat", "file:///etc/passwd", "https://127.0.0.1/cat", "",
    ],
)  # fmt: skip
async def test_what_is_not_on_the_list_is_not_even_asked(door, url):
    web = Web(cat=Answer(body=b"x"))
    with pytest.raises(MediaRefused):
        await door(web).fetch(Attachment(url=url))
    assert web.asked == []


@pytest.mark.parametrize(
    "answer",
    [
        Answer(body=bytes(10_001)),
        Answer(body=b"x", Content_Length="10001"),
        Answer(404),
        Answer(302, Location="https://evil.example.com/cat"),
        Answer(302, Location="/cat"),
        Answer(302),
    ],
)
async def test_too_large_missing_or_redirected_elsewhere_is_refused_and_leaves_nothing(door, answer, tmp_path):
    with pytest.raises(MediaRefused):
        await door(Web(cat=answer)).fetch(at("cat"))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


class FullDisk:
    """A store whose disk has no room."""

    async def save(self, pieces, *, max_bytes):
        async for _ in pieces:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


async def test_a_file_for_which_the_disk_has_no_room_is_refused_as_a_file_and_as_nothing_else():
    door = MediaDoor(FullDisk(), hosts=[HOST], max_bytes=9, client=Web(cat=Answer(body=b"x")))
    with pytest.raises(MediaRefused, match="No space left"):
        await door.fetch(at("cat"))


async def test_a_redirect_is_followed_within_the_list_and_a_token_goes_to_the_first_host_alone(door):
    cdn = "https://cdn.example.net"
    web = Web(cat=Answer(302, Location=f"{cdn}/there"), there=Answer(body=b"x"))
    kept = await door(web, hosts=[HOST, cdn]).fetch(at("cat"), headers=(("Authorization", "Bearer t"),))
    assert kept.size == 1
    assert web.asked == [(f"{HOST}/cat", {"Authorization": "Bearer t"}), (f"{cdn}/there", {})]


async def test_a_login_page_instead_of_the_file_is_noticed(door):
    web = Web(cat=Answer(body=b"<html>", Content_Type="text/html"))
    with pytest.raises(MediaRefused, match="text/html"):
        await door(web).fetch(at("cat"), accept=lambda mime: mime != "text/html")


@pytest.mark.parametrize(
    "sent",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nten bytes.",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nten bytes.\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 9\r\n\r\nfile",
        b"no HTTP at all",
        b"",
    ],
)
async def test_a_file_that_is_cut_short_is_no_file_and_leaves_nothing(door, sent, tmp_path):
    async def serve(stream):
        await stream.receive_some()
        await stream.send_all(sent)
        await stream.aclose()

    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        host = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
        with trio.fail_after(60), pytest.raises(HttpClientError):
            await door(None, hosts=[host], networks=["127.0.0.1/32"]).fetch(at("cat", host))
        nursery.cancel_scope.cancel()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("address", ["10.0.0.7", "127.0.0.1", "169.254.169.254", "::1", "fd00::1", "::ffff:10.0.0.7"])
async def test_a_name_that_stands_for_an_address_inside_is_refused_after_resolution(address, monkeypatch):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    found = [(family, socket.SOCK_STREAM, 6, "", (address, 443))]
    monkeypatch.setattr("protocols.http_client.connect.socket.getaddrinfo", lambda *_, **__: found)
    with pytest.raises(AddressRefused):
        await MediaDoor(object(), hosts=[HOST], max_bytes=10).fetch(at("cat"))


def test_kinds_of_files():
    assert [kind_of(mime) for mime in ("image/png", "AUDIO/ogg", "video/mp4", "text/plain", "")] == [
        "image", "audio", "video", "file", "file"]  # fmt: skip
