"""What the gRPC layer itself rejects. A call's outcome is grpclib's GRPCError, which carries a status."""

from __future__ import annotations


class GrpcTransportError(Exception):
    """Everything this package raises besides GRPCError."""


class MetadataError(GrpcTransportError):
    """A metadata entry cannot travel, or arrived malformed; the sentence names the key."""


class MessageError(GrpcTransportError):
    """A length-prefixed message is malformed."""


class MessageTooLarge(MessageError):
    """A message is larger than allowed, on the wire or once decompressed."""

    def __init__(self, size: int | None, most: int) -> None:
        found = f"{size} bytes" if size is not None else "more than that once decompressed"
        super().__init__(f"The message is {found}; at most {most} bytes are taken.")


class CallMisused(GrpcTransportError):
    """The code using a call broke its order: a second unary reply, a message after the end."""
