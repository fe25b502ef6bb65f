"""Let clients ask which services there are and what their messages look like (grpc.reflection.v1 and v1alpha)."""

from __future__ import annotations

from collections.abc import Iterable

from protocols.grpc.server import Service


def with_reflection(services: Iterable[Service]) -> list[Service]:
    """The services, and the two reflection services that describe them."""
    from grpclib.reflection.service import ServerReflection

    return list(ServerReflection.extend(list(services)))
