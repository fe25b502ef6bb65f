"""`Models` over gRPC: answers whole and in pieces, by name and by task, and only with a token of its own."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import grpc
import pytest
from grpclib.exceptions import GRPCError

from gateway.api.rpc.models import ModelsService
from gateway.api.v1 import models_pb2 as pb
from gateway.config.secret import Secret
from gateway.errors import ModelError
from gateway.models.registry import Models
from gateway.ports import ModelAnswer, ModelCall
from tests.rpc.daemon import TOKEN, Daemon, bearer, unary

ASK_TOKEN = "ask-token-0123456789"


@pytest.fixture(scope="module")
def channel() -> Iterator[grpc.Channel]:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        daemon = Daemon(Path(folder))
        daemon.write(more='[access]\nmodels = { asker = "env:ASK_TOKEN" }\n')
        daemon.start()
        with daemon.dial() as dialled:
            yield dialled
        daemon.kill()


def invoke(channel: grpc.Channel, token: str = ASK_TOKEN, **fields: object) -> pb.InvokeResponse:
    method = unary(channel, "/oclaw.v1.Models/Invoke", pb.InvokeRequest, pb.InvokeResponse)
    response: pb.InvokeResponse = method(pb.InvokeRequest(**fields), metadata=bearer(token), timeout=60)
    return response


@pytest.mark.parametrize("model", ["echo", "text-generation"])
def test_a_model_answers_by_its_name_or_its_task(channel: grpc.Channel, model: str) -> None:
    answer = invoke(channel, model=model, prompt="say this")
    assert (answer.text, answer.finish, answer.model) == ("say this", pb.FINISH_STOP, model)
    turns = [pb.Turn(role=pb.ROLE_SYSTEM, content="x"), pb.Turn(role=pb.ROLE_USER, content="the last turn")]
    assert invoke(channel, model=model, turns=turns).text == "the last turn"


def test_an_answer_comes_in_pieces(channel: grpc.Channel) -> None:
    method = channel.unary_stream(
        "/oclaw.v1.Models/InvokeStream", pb.InvokeRequest.SerializeToString, pb.InvokePiece.FromString
    )
    request = pb.InvokeRequest(model="echo", prompt="one two three")
    *pieces, last = method(request, metadata=bearer(ASK_TOKEN), timeout=60)
    assert [piece.text for piece in pieces] == ["one ", "two ", "three"]
    assert (last.text, last.finish) == ("", pb.FINISH_STOP)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"model": "ecco", "prompt": "x"}, grpc.StatusCode.NOT_FOUND),
        ({"model": "e" * 513, "prompt": "x"}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"model": "echo"}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"prompt": "x"}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"model": "echo", "turns": [pb.Turn(content="x")]}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"model": "echo", "prompt": "x", "token": ""}, grpc.StatusCode.UNAUTHENTICATED),
        ({"model": "echo", "prompt": "x", "token": TOKEN}, grpc.StatusCode.UNAUTHENTICATED),
    ],
)
def test_what_cannot_be_asked_is_refused(
    channel: grpc.Channel, fields: dict[str, object], status: grpc.StatusCode
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        invoke(channel, **fields)
    assert caught.value.code() is status


class Call:
    """A call by who may, and what it is answered."""

    metadata: ClassVar = {"authorization": f"Bearer {ASK_TOKEN}"}

    def __init__(self) -> None:
        self.sent: list[Any] = []

    async def recv_message(self) -> pb.InvokeRequest:
        return pb.InvokeRequest(model="it", prompt="x")

    async def send_message(self, message: Any) -> None:
        self.sent.append(message)


class Pieces:
    """An iterator that is no generator, as `Provider` allows."""

    def __init__(self, *pieces: str | BaseException) -> None:
        self._pieces = iter(pieces)

    def __aiter__(self) -> Pieces:
        return self

    async def __anext__(self) -> str:
        for piece in self._pieces:
            if isinstance(piece, BaseException):
                raise piece
            return piece
        raise StopAsyncIteration


class Foreign:
    """A provider of somebody else's."""

    def __init__(self, *pieces: str | BaseException) -> None:
        self._pieces = pieces

    def answer(self, call: ModelCall) -> ModelAnswer:
        raise next(piece for piece in self._pieces if isinstance(piece, BaseException))

    def stream(self, call: ModelCall) -> Pieces:
        return Pieces(*self._pieces)


def service(*pieces: str | BaseException) -> ModelsService:
    return ModelsService(lambda: Models({"it": Foreign(*pieces)}), lambda: {"asker": Secret("env:T", ASK_TOKEN)})


async def test_a_providers_stream_may_be_any_iterator() -> None:
    call = Call()
    await service("one ", "two").InvokeStream(call)
    assert [piece.text for piece in call.sent] == ["one ", "two", ""]


@pytest.mark.parametrize("method", ["Invoke", "InvokeStream"])
@pytest.mark.parametrize(
    ("raised", "wanted"),
    [
        (ModelError("busy", passing=True), GRPCError),
        (ExceptionGroup("a nursery's", [ModelError("busy", passing=True)]), GRPCError),
        (KeyError("x"), KeyError),
        (SystemExit(3), RuntimeError),
        (BaseExceptionGroup("a nursery's", [SystemExit(3)]), RuntimeError),
        (CancelledError(), RuntimeError),
    ],
)
async def test_whatever_a_provider_raises_fails_its_call_alone(
    method: str, raised: BaseException, wanted: type[Exception]
) -> None:
    with pytest.raises(wanted):
        await getattr(service(raised), method)(Call())


async def test_an_answer_without_a_text_is_no_empty_one() -> None:
    class Odd(Foreign):
        def answer(self, call: ModelCall) -> ModelAnswer:
            return ModelAnswer(text=None)  # type: ignore[arg-type]

    odd = ModelsService(lambda: Models({"it": Odd()}), lambda: {"asker": Secret("env:T", ASK_TOKEN)})
    call = Call()
    with pytest.raises(GRPCError, match="it answered with NoneType, which is no text"):
        await odd.Invoke(call)
    assert call.sent == []
