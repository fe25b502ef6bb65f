"""Ask a server by reflection what it serves, and call it with messages made at run time.

Everything lives in a descriptor pool of its own: the server may know other versions of our files.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpclib.client import StreamStreamMethod
from grpclib.const import Cardinality, Status
from grpclib.exceptions import GRPCError
from grpclib.reflection.v1.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse

from gateway.cli.call import nearest
from gateway.cli.frame import NOT_DONE, UNAVAILABLE, NotDone
from gateway.config.address import split_address
from protocols.grpc.channel import Channel, open_channel

Show = Callable[[dict[str, Any]], None]
_KINDS = {
    (False, False): Cardinality.UNARY_UNARY,
    (False, True): Cardinality.UNARY_STREAM,
    (True, False): Cardinality.STREAM_UNARY,
    (True, True): Cardinality.STREAM_STREAM,
}


class Caller:
    """One server. Descriptors and messages are made at run time, hence `Any`."""

    def __init__(self, channel: Channel, seconds: float) -> None:
        self._channel, self._seconds = channel, seconds
        self._pool: Any = DescriptorPool()
        self._known: set[str] = set()
        self._reflection = "v1"

    async def methods(self) -> list[str]:
        """Return all methods as SERVICE/METHOD."""
        answer = await self._ask(ServerReflectionRequest(list_services=""))
        names = []
        for service in answer.list_services_response.service:
            await self._learn(ServerReflectionRequest(file_containing_symbol=service.name))
            found = self._pool.FindServiceByName(service.name)
            names += [f"{service.name}/{method.name}" for method in found.methods]
        return sorted(names)

    async def call(self, wanted: str, messages: list[dict[str, Any]], token: str, show: Show) -> None:
        """Make the call and show each reply as it comes. Raises `NotDone`."""
        method = await self._method(wanted)
        kind = _KINDS[method.client_streaming, method.server_streaming]
        if len(messages) != 1 and not method.client_streaming:
            raise NotDone(f"{wanted} takes one message, not {len(messages)}")
        request, reply = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
        built = [_built(request, each) for each in messages]
        path = f"/{method.containing_service.full_name}/{method.name}"
        metadata = {"authorization": f"Bearer {token}"} if token else None
        async with self._channel.request(path, kind, request, reply, timeout=self._seconds, metadata=metadata) as call:
            await call.send_request(end=not built)
            for index, each in enumerate(built):
                await call.send_message(each, end=index == len(built) - 1)
            async for answer in call:
                show(json_format.MessageToDict(answer, preserving_proto_field_name=True, descriptor_pool=self._pool))

    async def _method(self, wanted: str) -> Any:
        known = await self.methods()
        name = wanted.strip("/")
        if name not in known:
            meant = list(nearest(wanted, known))
            if len(meant) != 1 or not meant[0].lower().endswith(name.lower()):
                hint = f"; did you mean {' or '.join(meant)}?" if meant else "; oclaw call alone lists them"
                raise NotDone(f"the server has no method {wanted}{hint}")
            name = meant[0]
        service, _, method = name.rpartition("/")
        return self._pool.FindServiceByName(service).FindMethodByName(method)

    async def _learn(self, request: ServerReflectionRequest) -> None:
        answer = await self._ask(request)
        files = [FileDescriptorProto.FromString(each) for each in answer.file_descriptor_response.file_descriptor_proto]
        given = {file.name: file for file in files}
        for file in files:
            await self._add(file, given)

    async def _add(self, file: FileDescriptorProto, given: dict[str, FileDescriptorProto]) -> None:
        if file.name in self._known:
            return
        self._known.add(file.name)
        for name in file.dependency:
            if name in given:
                await self._add(given[name], given)
            elif name not in self._known:
                await self._learn(ServerReflectionRequest(file_by_filename=name))
        self._pool.Add(file)

    async def _ask(self, request: ServerReflectionRequest) -> Any:
        try:
            answer = await self._answer(request)
        except GRPCError as error:
            if error.status is not Status.UNIMPLEMENTED or self._reflection != "v1":
                raise
            # The same messages under their first name, which is all that many servers have.
            self._reflection = "v1alpha"
            answer = await self._answer(request)
        if answer.HasField("error_response"):
            raise NotDone(f"the server cannot describe itself: {answer.error_response.error_message}")
        return answer

    async def _answer(self, request: ServerReflectionRequest) -> Any:
        path = f"/grpc.reflection.{self._reflection}.ServerReflection/ServerReflectionInfo"
        channel: Any = self._channel  # ours is duck-typed
        ask = StreamStreamMethod(channel, path, ServerReflectionRequest, ServerReflectionResponse)
        (answer,) = await ask([request], timeout=self._seconds)
        return answer


@asynccontextmanager
async def calling(address: str, tls: ssl.SSLContext | None, seconds: float) -> AsyncIterator[Caller]:
    """Reach a server; what it answers with a status becomes a sentence."""
    place = _place(address)
    try:
        async with open_channel(**place, tls=tls) as channel:
            yield Caller(channel, seconds)
    except GRPCError as error:
        raise _told(error) from error


def _place(address: str) -> dict[str, Any]:
    if address.startswith("unix:"):
        return {"path": address.removeprefix("unix:")}
    split = split_address(address)
    if split is None:
        raise NotDone(f"{address} is no address; it must be HOST:PORT or unix:PATH")
    host, port = split
    return {"host": {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), "port": port}


def _built(kind: Any, fields: dict[str, Any]) -> Any:
    try:
        return json_format.ParseDict(fields, kind())
    except json_format.ParseError as error:
        raise NotDone(f"the request does not fit {kind.DESCRIPTOR.full_name}: {error}") from error


def _told(error: GRPCError) -> NotDone:
    code = UNAVAILABLE if error.status is Status.UNAVAILABLE else NOT_DONE
    way_out = " Name one with --token env:NAME." if error.status is Status.UNAUTHENTICATED else ""
    return NotDone(f"{error.status.name}: {error.message or 'without a reason'}{way_out}", code)
