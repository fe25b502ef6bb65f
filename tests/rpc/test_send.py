"""`Send`, with the official library against the real daemon: the whole flow, every refusal, large messages, gzip."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import grpc
import pytest
from google.protobuf.any_pb2 import Any as Packed
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status as RichStatus

from gateway.api.v1 import gateway_pb2 as pb
from gateway.api.v1 import message_pb2 as form
from tests.rpc.daemon import HOUSE, TOKEN, Daemon, Till, said


def details(error: grpc.RpcError) -> list[Packed]:
    metadata = dict(error.trailing_metadata())
    return list(RichStatus.FromString(metadata["grpc-status-details-bin"]).details)


def test_a_message_walks_the_whole_flow_and_its_sender_gets_the_reply(till: Till) -> None:
    response = till.send("good morning", wait=60, sender=form.Sender(id="u1", name="Ada"))
    assert response.envelope_id and not response.duplicate
    (reply,) = response.replies.replies
    assert reply.message.content == "good morning"
    assert reply.envelope_id == response.envelope_id
    assert (reply.message.channel, reply.message.platform) == ("shop", "grpc")
    assert reply.message.conversation.id == "c1" and "oclaw" not in reply.message.metadata


def test_the_same_dedupe_key_is_taken_once_and_its_replies_can_be_asked_for_again(till: Till) -> None:
    first = till.send("once", dedupe_key="k1")
    again = till.send("once", dedupe_key="k1", wait=60)
    assert again.duplicate and again.envelope_id == first.envelope_id
    assert [reply.message.content for reply in again.replies.replies] == ["once"]


@pytest.mark.parametrize("token", ["", "wrong", "shop-token-012345678"])
def test_a_bad_token_is_told_nothing_else(shop: Daemon, token: str) -> None:
    with shop.dial() as channel, pytest.raises(grpc.RpcError) as caught:
        Till(channel, token).send("hi")
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.SendRequest(), "message"),
        (pb.SendRequest(message=form.Message(content="x")), "message.conversation.id"),
        (pb.SendRequest(message=said("x", type=99)), "message.type"),
        (pb.SendRequest(message=said("x", id="i" * 513)), "message.id"),
        (pb.SendRequest(message=said("x", attachments=[form.Attachment(ref="secret")])), "message.attachments[0].url"),
        (pb.SendRequest(message=said("x"), wait={"seconds": 61}), "wait"),
        (pb.SendRequest(message=said("x"), wait={"seconds": -1}), "wait"),
    ],
)
def test_a_field_that_breaks_its_form_is_named(till: Till, request_: pb.SendRequest, field: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        till.send_request(request_)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details().startswith(field)
    bad = BadRequest()
    assert details(caught.value)[0].Unpack(bad)
    assert bad.field_violations[0].field == field


def test_metadata_reaches_the_flow_as_plain_values_and_ours_is_dropped(till: Till) -> None:
    request = pb.SendRequest(message=said("x"))
    request.message.metadata.update({"n": 3, "deep": {"list": [1.5, None, True]}, "oclaw": {"waited": True}})
    assert till.send_request(request).envelope_id


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_four_mebibytes_pass_and_more_is_refused(shop: Daemon, compression: grpc.Compression) -> None:
    with shop.dial(**{"grpc.max_receive_message_length": -1}) as channel:
        till = Till(channel)
        text = "0123456789abcde\n" * ((4 * 1024 * 1024 - 1024) // 16)
        request = pb.SendRequest(message=said(text, conversation="large"), wait={"seconds": 60})
        response = till.send_request(request, compression=compression)
        assert response.replies.replies[0].message.content == text
        with pytest.raises(grpc.RpcError) as caught:
            till.send_request(pb.SendRequest(message=said(text + "x" * 4096)), compression=compression)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_an_overloaded_gateway_refuses_and_says_when_to_come_again(daemon: Daemon) -> None:
    daemon.write(
        more="[flow]\nmax_waiting = 50\n",
        pipelines={"echo": "pipeline: [{name: say, function: 'slow:wait'}]"},
        files={"hooks/slow.py": "import trio\n\nasync def wait(inputs):\n    await trio.sleep(3)\n    return 'x'\n"},
    )
    daemon.start()
    with daemon.dial() as channel:
        till = Till(channel)
        calls = [
            till._send.future(
                pb.SendRequest(message=said("x", conversation=f"c{i}")), metadata=till.credentials, timeout=60
            )
            for i in range(300)
        ]
        errors = [error for call in calls if (error := call.exception()) is not None]
    assert errors and len(errors) < 300
    assert {error.code() for error in errors} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    retry = RetryInfo()
    assert details(errors[0])[0].Unpack(retry)
    assert retry.retry_delay.ToTimedelta().total_seconds() > 0


def test_the_client_in_the_readme_gets_its_reply(shop: Daemon) -> None:
    (program,) = re.findall(
        r"^```python\n(import os.*?)^```$",
        (HOUSE / "gateway/api/v1/README.md").read_text("utf-8"),
        re.MULTILINE | re.DOTALL,
    )
    environment = {**os.environ, "PYTHONPATH": str(HOUSE), "SHOP_TOKEN": TOKEN}
    program = program.replace("127.0.0.1:8420", f"127.0.0.1:{shop.port}")
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "hello\n"
