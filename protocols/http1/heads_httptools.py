"""Read a head with httptools (llhttp in C). A parser lives for one head: no state survives."""

from __future__ import annotations

import httptools

from protocols.http1.headers import RawFields
from protocols.http1.heads import Head, Status, UnreadableHead


class _Catch:
    __slots__ = ("fields", "target")

    def __init__(self) -> None:
        self.target = b""
        self.fields: RawFields = []

    def on_url(self, target: bytes) -> None:
        self.target += target

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value.rstrip()))


class _CatchFields:
    __slots__ = ("fields",)

    def __init__(self) -> None:
        self.fields: RawFields = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value.rstrip()))


def read_head(head: bytes) -> Head:
    """Parse one whole request head; raise UnreadableHead when llhttp will not have it."""
    caught = _Catch()
    parser = httptools.HttpRequestParser(caught)
    try:
        parser.feed_data(head)
    except httptools.HttpParserUpgrade:
        # Raised after the head of an Upgrade request; who upgrades is decided by the application.
        pass
    except httptools.HttpParserError as error:
        raise UnreadableHead(str(error)) from error
    target = caught.target.decode("latin-1")
    return Head(parser.get_method().decode("latin-1"), target, parser.get_http_version(), caught.fields)


def read_status(head: bytes) -> Status:
    """Parse one whole response head; raise UnreadableHead when llhttp will not have it."""
    caught = _CatchFields()
    parser = httptools.HttpResponseParser(caught)
    try:
        parser.feed_data(head)
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError as error:
        raise UnreadableHead(str(error)) from error
    return Status(parser.get_status_code(), parser.get_http_version(), caught.fields)
