"""The daemon's gRPC side as a whole: health, reflection, TLS, HTTP beside it, drain, a quick start without it."""

from __future__ import annotations

import http.client
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from grpclib.health.v1 import health_pb2

from gateway.api.v1 import gateway_pb2 as pb
from tests.rpc.daemon import HOUSE, Daemon, Till, said
from tests.rpc.test_listening import Voice

SERVING = health_pb2.HealthCheckResponse.SERVING


def watch(channel: grpc.Channel) -> Any:
    request, response = health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse
    method = channel.unary_stream("/grpc.health.v1.Health/Watch", request.SerializeToString, response.FromString)
    return method(request(), timeout=60)


# In a process of its own: it registers the same protobuf symbols as grpclib does.
OFFICIAL = """
import sys, grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

with grpc.insecure_channel(f"127.0.0.1:{sys.argv[1]}") as channel:
    stub = health_pb2_grpc.HealthStub(channel)
    for service in ("", "oclaw.v1.Gateway"):
        assert stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=60).status == 1
    try:
        stub.Check(health_pb2.HealthCheckRequest(service="unheard.of"), timeout=60)
    except grpc.RpcError as error:
        assert error.code() is grpc.StatusCode.NOT_FOUND
    database = ProtoReflectionDescriptorDatabase(channel)
    assert {"oclaw.v1.Gateway", "grpc.health.v1.Health"} <= set(database.get_services())
    file = database.FindFileContainingSymbol("oclaw.v1.Gateway")
    print([method.name for method in file.service[0].method])
"""


def test_the_official_health_and_reflection_clients_are_answered(shop: Daemon) -> None:
    command = [sys.executable, "-c", OFFICIAL, str(shop.port)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    assert done.stdout == "['Send', 'Converse', 'Subscribe']\n", done.stderr


def test_http_is_served_on_the_same_port(shop: Daemon, till: Till) -> None:
    till.send("hi")
    plain = http.client.HTTPConnection("127.0.0.1", shop.port, timeout=60)
    plain.request("GET", "/metrics")
    text = plain.getresponse().read().decode()
    plain.close()
    assert 'oclaw_grpc_calls_total{method="/oclaw.v1.Gateway/Send",status="OK"}' in text


def test_tls_speaks_grpc_to_who_offers_only_h2_and_http_to_the_others(daemon: Daemon) -> None:
    authority = trustme.CA()
    authority.issue_cert("localhost", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(
        str(daemon.folder.parent / "server.pem")
    )
    place = daemon.folder.parent / "server.pem"
    daemon.write(listen=f'tls_certificate = "{place}"\ntls_key = "{place}"')
    daemon.start()
    credentials = grpc.ssl_channel_credentials(authority.cert_pem.bytes())
    with grpc.secure_channel(f"127.0.0.1:{daemon.port}", credentials) as channel:
        assert Till(channel).send("sealed", wait=60).replies.replies[0].message.content == "sealed"


def test_a_drain_finishes_calls_in_flight_and_ends_the_endless_ones(daemon: Daemon) -> None:
    daemon.write(
        pipelines={"echo": "pipeline: [{name: say, function: 'slow:wait'}]"},
        files={"hooks/slow.py": "import trio\n\nasync def wait(inputs):\n    await trio.sleep(1)\n    return 'done'\n"},
    )
    daemon.start()
    with daemon.dial() as channel:
        till = Till(channel)
        watching = watch(channel)
        assert next(watching).status == SERVING
        listening = till.subscribe()
        listening.initial_metadata()
        talking = till.converse(iter(Voice()))
        next(talking)
        request = pb.SendRequest(message=said("x"), wait={"seconds": 60})
        waiting = till._send.future(request, metadata=till.credentials, timeout=60)
        daemon.until("oclaw_accepted_total", 1)
        daemon.ask_to_stop()
        assert next(watching).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert waiting.result().replies.replies[0].message.content == "done"
        assert next(listening).reply.message.content == "done"
        for call in (watching, listening, talking):
            with pytest.raises(grpc.RpcError) as caught:
                list(call)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert daemon.ended() == 0
    assert not any(line.get("level") == "error" for line in daemon.lines), daemon.lines


def test_a_gateway_without_grpc_does_not_pay_for_it_until_somebody_calls(daemon: Daemon) -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import gateway.daemon.serving, gateway.channels.grpc; "
        "print(sorted({'grpclib', 'asyncio', 'h2', 'google.protobuf'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", program, str(HOUSE)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"
    daemon.write()
    text = Path(daemon.folder / "oclaw.toml").read_text()
    Path(daemon.folder / "oclaw.toml").write_text(text.replace('type = "grpc"', 'type = "grpc"\nenabled = false'))
    daemon.start()
    with daemon.dial() as channel:
        assert next(watch(channel)).status == SERVING
        with pytest.raises(grpc.RpcError) as caught:
            Till(channel).send("hi")
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
