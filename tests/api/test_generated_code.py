"""The committed generated code is what the .proto files say, and servers describe themselves with it."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from google.protobuf.descriptor import FileDescriptor
from grpclib.reflection.v1.reflection_grpc import ServerReflectionStub
from grpclib.reflection.v1.reflection_pb2 import ServerReflectionRequest

from gateway.api.v1 import gateway_pb2, message_pb2, models_pb2, worker_pb2
from gateway.api.v1.gateway_grpc import GatewayBase, GatewayStub
from gateway.api.v1.regenerate import HERE, generated_in, regenerate
from protocols.grpc.channel import open_channel
from protocols.grpc.reflection import with_reflection
from protocols.grpc.server import methods_of, serve_h2

FILES: list[FileDescriptor] = [module.DESCRIPTOR for module in (gateway_pb2, message_pb2, models_pb2, worker_pb2)]


def test_the_committed_code_is_not_stale(tmp_path: Path) -> None:
    fresh = {path.name: path.read_text() for path in regenerate(tmp_path)}
    committed = {path.name: path.read_text() for path in generated_in(HERE)}
    stale = sorted(name for name in fresh.keys() | committed.keys() if fresh.get(name) != committed.get(name))
    assert stale == [], "run `make proto` and commit what it writes"
    assert fresh.keys() >= {"gateway_grpc.py", "models_grpc.py", "worker_grpc.py", "message_pb2.pyi"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_service_method_and_message_belongs_to_the_package(file: FileDescriptor) -> None:
    assert file.package == "oclaw.v1"
    for service in file.services_by_name.values():
        for method in service.methods:
            assert method.input_type.file.package == method.output_type.file.package == "oclaw.v1"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_enums_begin_with_unspecified_and_carry_their_name(file: FileDescriptor) -> None:
    for enum in file.enum_types_by_name.values():
        assert enum.values[0].number == 0
        assert enum.values[0].name.endswith("_UNSPECIFIED")


class Taker(GatewayBase):
    async def Send(self, stream: object) -> None:
        request = await stream.recv_message()  # type: ignore[attr-defined]
        answer = gateway_pb2.SendResponse(envelope_id=f"took {request.message.content}")
        await stream.send_message(answer)  # type: ignore[attr-defined]

    async def Converse(self, stream: object) -> None: ...
    async def Subscribe(self, stream: object) -> None: ...


async def test_a_service_over_the_generated_base_is_called_and_described() -> None:
    methods = methods_of(with_reflection([Taker()]))
    async with trio.open_nursery() as nursery:

        async def serve(stream: trio.SocketStream) -> None:
            await serve_h2(stream, b"", methods)

        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, serve, listeners)
        async with open_channel("127.0.0.1", listeners[0].socket.getsockname()[1]) as channel:
            request = gateway_pb2.SendRequest(message=message_pb2.Message(content="hi"))
            assert (await GatewayStub(channel).Send(request, timeout=60)).envelope_id == "took hi"
            asked = ServerReflectionRequest(file_containing_symbol="oclaw.v1.Gateway")
            (answer,) = await ServerReflectionStub(channel).ServerReflectionInfo([asked], timeout=60)
            assert answer.file_descriptor_response.file_descriptor_proto
        nursery.cancel_scope.cancel()
