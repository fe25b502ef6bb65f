"""Translate metadata between HTTP/2 header fields and the multi-dict that handlers and callers see. Pure.

grpc/doc/PROTOCOL-HTTP2.md: keys are lower case; values are printable ASCII, or bytes in base64 when the key
ends in `-bin`, where one field may carry several values joined by commas.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from typing import Any, cast

from multidict import MultiDict

from protocols.grpc.errors import MetadataError
from protocols.http2.events import Headers

Metadata = MultiDict[str | bytes]
MetadataLike = Mapping[str, str | bytes] | Iterable[tuple[str, str | bytes]]

_KEY = re.compile(r"[0-9a-z_.\-]+\Z")
_VALUE = re.compile(r"[\x20-\x7e]*\Z")
# The transport's own fields; everything else a peer sends is the application's.
_RESERVED = frozenset({b"te", b"content-type", b"user-agent", b"content-length", b"host", b"connection"})
STATUS_DETAILS_KEY = b"grpc-status-details-bin"


def decode_metadata(headers: Headers) -> Metadata:
    """The application's entries, in order, repeats kept. Raises MetadataError for base64 that is none."""
    metadata: Metadata = MultiDict()
    for key, value in headers:
        if key[:1] == b":" or key in _RESERVED or key.startswith(b"grpc-"):
            continue
        name = key.decode("ascii", "replace")
        if key.endswith(b"-bin"):
            for part in value.split(b","):
                metadata.add(name, decode_bin(part, name))
        else:
            # Not ASCII is not legal, but a caller's odd header should not cost it the call.
            metadata.add(name, value.decode("utf-8", "replace"))
    return metadata


def encode_metadata(metadata: MetadataLike | None) -> Headers:
    """Header fields for what an application wants to send. Raises MetadataError for what cannot travel."""
    if not metadata:
        return []
    pairs = metadata.items() if isinstance(metadata, Mapping) else metadata
    return [_encode_entry(key, value) for key, value in cast("Iterable[tuple[str, Any]]", pairs)]


def _encode_entry(key: str, value: Any) -> tuple[bytes, bytes]:  # Any: it is checked here
    name = key.lower()
    if not _KEY.match(name) or name.startswith("grpc-") or name.encode() in _RESERVED:
        raise MetadataError(
            f"The metadata key {key!r} cannot be sent: use letters, digits, '-', '_' and '.', and no reserved name."
        )
    if name.endswith("-bin"):
        if not isinstance(value, bytes):
            raise MetadataError(f"The metadata entry {key!r} ends in -bin: its value must be bytes, not {value!r}.")
        return name.encode(), encode_bin(value)
    if not isinstance(value, str) or not _VALUE.match(value):
        raise MetadataError(
            f"The metadata entry {key!r} must be printable ASCII text, not {value!r}; "
            "send anything else as bytes under a key that ends in -bin."
        )
    return name.encode(), value.strip().encode()


def encode_bin(value: bytes) -> bytes:
    return base64.b64encode(value).rstrip(b"=")


def decode_bin(value: bytes, name: str) -> bytes:
    """Base64 with or without its padding."""
    bare = value.strip().rstrip(b"=")
    try:
        return base64.b64decode(bare + b"=" * (-len(bare) % 4), validate=True)
    except binascii.Error as error:
        raise MetadataError(f"The metadata entry {name!r} is not valid base64.") from error
