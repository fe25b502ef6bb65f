"""`Models` over gRPC: answers whole and in pieces, by name and by task, and only with a token of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from gateway.api.v1 import models_pb2 as pb
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
