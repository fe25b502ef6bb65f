"""Write and read a call's outcome: `grpc-status`, a percent-encoded message, rich details. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote_to_bytes

from grpclib.const import Status
from grpclib.exceptions import GRPCError

from protocols.grpc.errors import MetadataError
from protocols.grpc.metadata import STATUS_DETAILS_KEY, decode_bin, encode_bin
from protocols.http2.events import Headers

# A field neither begins nor ends with a blank (RFC 9113, 8.2.1).
_ESCAPED = re.compile(rb"[^\x20-\x24\x26-\x7e]|\A\x20|\x20\Z")
# A message is for a person; a peer's header list limit is often 8 KiB for everything.
MESSAGE_BYTES = 1024

# grpc/doc/PROTOCOL-HTTP2.md, "HTTP2 Transport Mapping": what a reset means to the caller.
_BY_RESET = {
    0x7: (Status.UNAVAILABLE, "The server refused the stream before looking at it."),
    0x8: (Status.CANCELLED, "The other side cancelled the call."),
    0xB: (Status.RESOURCE_EXHAUSTED, "The other side is overloaded."),
    0xC: (Status.PERMISSION_DENIED, "The connection is not secure enough for the other side."),
}
# grpc/doc/http-grpc-status-mapping.md: what an answer from something that is no gRPC server means.
_BY_HTTP = {
    b"400": Status.INTERNAL,
    b"401": Status.UNAUTHENTICATED,
    b"403": Status.PERMISSION_DENIED,
    b"404": Status.UNIMPLEMENTED,
    b"429": Status.UNAVAILABLE,
    b"502": Status.UNAVAILABLE,
    b"503": Status.UNAVAILABLE,
    b"504": Status.UNAVAILABLE,
}


def encode_status(status: Status, message: str | None = None, details: Sequence[Any] | None = None) -> Headers:
    """Trailer fields. `details` are protobuf messages, sent as google.rpc.Status."""
    headers = [(b"grpc-status", b"%d" % status.value)]
    if message:
        headers.append((b"grpc-message", encode_message(message)))
    if details:
        headers.append((STATUS_DETAILS_KEY, encode_bin(_details_codec().encode(status, message, details))))
    return headers


def decode_status(headers: Headers) -> GRPCError | None:
    """None for OK; UNKNOWN when there is no status or none that exists."""
    fields = dict(headers)
    found = fields.get(b"grpc-status")
    try:
        status = Status(int(found or b""))
    except ValueError:
        return GRPCError(Status.UNKNOWN, f"The response carries no valid grpc-status (found {found!r}).")
    if status is Status.OK:
        return None
    message = decode_message(fields[b"grpc-message"]) if b"grpc-message" in fields else None
    return GRPCError(status, message, _decode_details(status, message, fields.get(STATUS_DETAILS_KEY)))


def error_for_reset(code: int) -> GRPCError:
    status, message = _BY_RESET.get(code, (Status.INTERNAL, "The other side reset the stream."))
    return GRPCError(status, f"{message} (HTTP/2 error code {code})")


def error_for_http(status: bytes) -> GRPCError:
    return GRPCError(
        _BY_HTTP.get(status, Status.UNKNOWN),
        f"The server answered with HTTP status {status.decode('ascii', 'replace')}.",
    )


def encode_message(message: str) -> bytes:
    """Percent-encoded UTF-8, cut to a length every header list has room for."""
    cut = message.encode("utf-8", "replace")[:MESSAGE_BYTES].decode("utf-8", "ignore")
    return _ESCAPED.sub(lambda found: b"%%%02X" % found[0][0], cut.encode())


def decode_message(value: bytes) -> str:
    """The reverse; what is not valid percent-encoding or UTF-8 is kept visible, never an error."""
    return unquote_to_bytes(value).decode("utf-8", "replace")


def _decode_details(status: Status, message: str | None, value: bytes | None) -> Any:  # Any: protobuf messages
    if value is None:
        return None
    from google.protobuf.message import DecodeError

    try:
        return _details_codec().decode(status, message, decode_bin(value, STATUS_DETAILS_KEY.decode()))
    except (MetadataError, DecodeError):
        # The status is worth more than its details.
        return None


def _details_codec() -> Any:  # Any: grpclib's codec is untyped in its protobuf part
    from grpclib.encoding.proto import ProtoStatusDetailsCodec

    return ProtoStatusDetailsCodec()
