"""`oclaw call` against the real daemon: lists, calls, streams, and says what went wrong in a sentence."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import trustme

from gateway.cli.calling import calling
from gateway.cli.frame import NotDone
from protocols.grpc.health import Health
from protocols.grpc.reflection import with_reflection
from tests.protocols.grpc.serving import serving
from tests.rpc.daemon import HOUSE, TOKEN, Daemon


def call(daemon: Daemon, *arguments: str, at: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gateway.cli", "call", "--config", str(daemon.folder)]
    command += ["--at", at or f"127.0.0.1:{daemon.port}", *arguments]
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(HOUSE), "SHOP_TOKEN": TOKEN}
    return subprocess.run(command, capture_output=True, text=True, timeout=180, check=False, env=environment)


MESSAGE = json.dumps({"message": {"content": "hi", "conversation": {"id": "call"}}, "wait": "10s"})
SHOWN = ("--token", "env:SHOP_TOKEN")


def test_without_a_method_it_lists_what_the_server_has(shop: Daemon) -> None:
    listed = call(shop, "--json")
    assert {"oclaw.v1.Gateway/Send", "grpc.health.v1.Health/Check"} <= set(json.loads(listed.stdout)), listed.stderr


@pytest.mark.parametrize("method", ["oclaw.v1.Gateway/Send", "/oclaw.v1.Gateway/Send", "Gateway/Send", "send"])
def test_a_method_is_called_by_its_name_or_its_end(shop: Daemon, method: str) -> None:
    done = call(shop, method, MESSAGE, *SHOWN)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["replies"]["replies"][0]["message"]["content"] == "hi"


def test_a_stream_is_printed_reply_by_reply_until_its_deadline(shop: Daemon) -> None:
    done = call(shop, "Health/Watch", "{}", "--seconds", "0.5", "--json")
    assert [json.loads(line) for line in done.stdout.splitlines()] == [{"status": "SERVING"}]
    assert (done.returncode, done.stderr) == (1, "oclaw: DEADLINE_EXCEEDED: The call's deadline passed.\n")


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("Send", MESSAGE), 1, "with a valid token. Name one with --token env:NAME."),
        (
            ("Send", MESSAGE, "--token", "t0ken"),
            2,
            "list of processes; it must be env:NAME, file:PATH or credential:NAME",
        ),
        (("Send", '{"message": {}}', *SHOWN), 1, "message.conversation.id"),
        (("Send", '{"massage": {}}', *SHOWN), 1, "does not fit oclaw.v1.SendRequest"),
        (("Send", "{", *SHOWN), 1, "not JSON"),
        (("oclaw.v1.Gateway/Sent", "{}"), 1, "did you mean oclaw.v1.Gateway/Send?"),
    ],
)
def test_what_went_wrong_is_a_sentence(shop: Daemon, arguments: tuple[str, ...], code: int, sentence: str) -> None:
    done = call(shop, *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert sentence in done.stderr and "Traceback" not in done.stderr


def test_nobody_there_is_told_with_the_code_for_it(shop: Daemon) -> None:
    done = call(shop, "Send", "{}", at="unix:/nowhere.sock")
    assert (done.returncode, "UNAVAILABLE" in done.stderr) == (69, True), done.stderr


def test_a_port_that_asks_for_certificates_serves_only_who_shows_one(daemon: Daemon) -> None:
    authority, strangers = trustme.CA(), trustme.CA()
    folder = daemon.folder.parent
    place, roots, ours, theirs = (folder / name for name in ("server.pem", "roots.pem", "ours.pem", "theirs.pem"))
    authority.issue_cert("localhost", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(place))
    authority.cert_pem.write_to_path(str(roots))
    authority.issue_cert("shop@example.org").private_key_and_cert_chain_pem.write_to_path(str(ours))
    strangers.issue_cert("shop@example.org").private_key_and_cert_chain_pem.write_to_path(str(theirs))
    daemon.write(listen=f'tls_certificate = "{place}"\ntls_key = "{place}"\ntls_client_authorities = "{roots}"')
    daemon.start()
    assert "oclaw.v1.Gateway/Send" in call(daemon, "--ca", str(roots), "--certificate", str(ours)).stdout
    for stranger in ((), ("--certificate", str(theirs))):
        assert call(daemon, "--ca", str(roots), *stranger).returncode == 69


def test_it_speaks_tls_and_unix_sockets(daemon: Daemon) -> None:
    authority = trustme.CA()
    place, roots = daemon.folder.parent / "server.pem", daemon.folder.parent / "roots.pem"
    authority.issue_cert("localhost", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(place))
    authority.cert_pem.write_to_path(str(roots))
    socket: Path = daemon.folder.parent / "s.sock"
    daemon.write(listen=f'tls_certificate = "{place}"\ntls_key = "{place}"\nunix_socket = "{socket}"')
    daemon.start()
    assert "oclaw.v1.Gateway/Send" in call(daemon, "--ca", str(roots)).stdout
    assert "oclaw.v1.Gateway/Send" in call(daemon, at=f"unix:{socket}").stdout


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_a_server_is_asked_in_the_reflection_that_it_has(version: str) -> None:
    names = [f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo", "/grpc.health.v1.Health/Check"]
    services = [each for each in with_reflection([Health()]) if set(names) & set(each.__mapping__())]
    shown: list[object] = []
    async with serving(services) as server, calling(f"127.0.0.1:{server.port}", None, 60) as caller:
        await caller.call("Health/Check", [{}], "", shown.append)
    assert shown == [{"status": "SERVING"}]


async def test_a_server_without_reflection_is_told_as_that() -> None:
    async with serving([Health()]) as server:
        with pytest.raises(NotDone, match="UNIMPLEMENTED"):
            async with calling(f"127.0.0.1:{server.port}", None, 60) as caller:
                await caller.methods()
