"""A certificate that was renewed is shown from the next reload on; one that cannot be used leaves the one before it."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

import gateway.daemon.certificate
from gateway.config.settings import ListenSettings, Settings
from gateway.daemon.certificate import Certificate, tls_context
from gateway.errors import SettingErrors
from protocols.transport.tls import server_context
from tests.support.rules_daemon import Daemon, running, write_configuration

HERE = "127.0.0.1"
CLIENTS, OTHERS = trustme.CA(), trustme.CA()


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def daemon(authority: trustme.CA) -> Iterator[Daemon]:
    with with_tls(authority) as served:
        yield served


@pytest.fixture
def daemon_that_asks(authority: trustme.CA) -> Iterator[Daemon]:
    with with_tls(authority, 'tls_client_authorities = "clients.pem"\n') as served:
        yield served


@contextmanager
def with_tls(authority: trustme.CA, more: str = "") -> Iterator[Daemon]:
    with tempfile.TemporaryDirectory() as name:
        conf = write_configuration(Path(name))
        renew(conf, authority)
        CLIENTS.cert_pem.write_to_path(str(conf / "clients.pem"))
        settings, tls = conf / "oclaw.toml", 'tls_certificate = "port.pem"\ntls_key = "port.key"\n'
        settings.write_text(settings.read_text().replace("[listen]\n", f"[listen]\n{tls}{more}"))
        with running(conf) as served:
            yield served


def renew(conf: Path, authority: trustme.CA) -> None:
    made = authority.issue_cert(HERE)
    made.cert_chain_pems[0].write_to_path(str(conf / "port.pem"))
    made.private_key_pem.write_to_path(str(conf / "port.key"))


def shown(daemon: Daemon) -> str:
    return ssl.get_server_certificate((HERE, daemon.port), timeout=60)


def in_metrics(daemon: Daemon, gauge: str) -> float:
    """What Prometheus is told of the certificate."""
    unproven = ssl.create_default_context()
    unproven.check_hostname, unproven.verify_mode = False, ssl.CERT_NONE
    with urlopen(f"https://{HERE}:{daemon.port}/metrics", context=unproven) as answer:
        lines = answer.read().decode().splitlines()
    (moment,) = (line.split()[1] for line in lines if line.startswith(f'{gauge}{{certificate="port.pem"}}'))
    return float(moment)


def reload(daemon: Daemon, outcome: str) -> str:
    daemon.process.send_signal(signal.SIGHUP)
    told = daemon.until(outcome, what="configuration")
    return str(told.get("changes") or told.get("why"))


def test_a_renewed_certificate_is_shown_after_a_reload(daemon: Daemon, authority: trustme.CA) -> None:
    first, end = shown(daemon), daemon.status()["certificate_ends_at"]
    assert end == ssl.cert_time_to_seconds("Jan  1 00:00:00 3000 GMT")
    assert end == in_metrics(daemon, "oclaw_certificate_ends_at") > time.time()
    assert in_metrics(daemon, "oclaw_certificate_begins_at") < time.time()
    assert reload(daemon, "ConfigurationLoaded") == "no setting, rule, pipeline or hook changed"
    renew(daemon.folder, authority)
    assert shown(daemon) == first
    assert reload(daemon, "ConfigurationLoaded") == "new connections are shown another certificate"
    assert shown(daemon) == (daemon.folder / "port.pem").read_text() != first
    second = shown(daemon)
    (daemon.folder / "port.key").write_bytes(authority.issue_cert(HERE).private_key_pem.bytes())
    assert "listen.tls_certificate is not usable" in reload(daemon, "ConfigurationRefused")
    assert shown(daemon) == second
    while "port.key" not in daemon.status()["waiting_for_reload"]:  # looked at once a second
        assert daemon.process.poll() is None
    settings = daemon.folder / "oclaw.toml"
    for name in ("port.pem", "port.key"):
        settings.write_text(settings.read_text().replace(name, f"other-{name}"))
        (daemon.folder / name).unlink()
    assert "listen" in reload(daemon, "ConfigurationLoaded"), "the next start shows what is there by then"
    assert shown(daemon) == second


def test_a_certificate_that_is_being_renewed_at_this_moment_leaves_the_one_before_it(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    renew(tmp_path, authority)
    listen = ListenSettings(tls_certificate="port.pem", tls_key="port.key")
    settings = Settings(directory=tmp_path, state_dir=tmp_path, listen=listen)
    certificate, first = Certificate(settings), (tmp_path / "port.pem").read_text()
    tls = certificate.tls
    assert tls is not None
    renew(tmp_path, authority)
    reads = gateway.daemon.certificate.read_plain

    def half_renewed(path: Path) -> bytes:
        content = reads(path)
        if path.name == "port.key":
            renew(tmp_path, authority)
        return content

    with monkeypatch.context() as patch, pytest.raises(SettingErrors, match="changing"):
        patch.setattr("gateway.daemon.certificate.read_plain", half_renewed)
        certificate.again(settings)
    assert greeted(tls.context) == first
    take = certificate.again(settings)
    (tmp_path / "port.key").write_text("nothing that counts: what was read is what is put in force")
    assert take() == ("new connections are shown another certificate",)
    assert greeted(tls.context) == (tmp_path / "port.pem").read_text()


@pytest.mark.parametrize("setting", ["tls_certificate", "tls_key", "tls_client_authorities"])
def test_a_pipe_is_told_by_its_setting_and_not_waited_for(authority: trustme.CA, tmp_path: Path, setting: str) -> None:
    renew(tmp_path, authority)
    os.mkfifo(tmp_path / "pipe")
    named = {"tls_certificate": "port.pem", "tls_key": "port.key", setting: "pipe"}
    settings = Settings(directory=tmp_path, state_dir=tmp_path, listen=ListenSettings(**named))
    with pytest.raises(SettingErrors, match=rf"listen\.{setting} is not usable .*a pipe, not a plain file"):
        tls_context(settings)


def test_clients_are_asked_for_certificates_of_the_authorities_that_a_reload_read(
    authority: trustme.CA, daemon_that_asks: Daemon, tmp_path: Path
) -> None:
    old, new = (trusted(tmp_path / name, authority, theirs) for name, theirs in (("old", CLIENTS), ("new", OTHERS)))
    daemon, file = daemon_that_asks, daemon_that_asks.folder / "clients.pem"
    assert (served(daemon, old), served(daemon, new)) == (True, False)
    file.write_text("no certificate at all")
    assert "listen.tls_client_authorities is not usable" in reload(daemon, "ConfigurationRefused")
    assert (served(daemon, old), served(daemon, new)) == (True, False)
    OTHERS.cert_pem.write_to_path(str(file))
    while "clients.pem" not in daemon.status()["waiting_for_reload"]:  # looked at once a second
        assert daemon.process.poll() is None
    assert reload(daemon, "ConfigurationLoaded") == "new connections must show a certificate of other authorities"
    assert (served(daemon, old), served(daemon, new)) == (False, True)


def trusted(folder: Path, authority: trustme.CA, theirs: trustme.CA) -> ssl.SSLContext:
    """Return a client that trusts the port and shows a certificate of `theirs`."""
    folder.mkdir()
    theirs.issue_cert("a.client").private_key_and_cert_chain_pem.write_to_path(str(folder / "shown.pem"))
    client = ssl.create_default_context()
    authority.configure_trust(client)
    client.load_cert_chain(folder / "shown.pem")
    return client


def served(daemon: Daemon, client: ssl.SSLContext) -> bool:
    """Say whether a request gets an answer: with TLS 1.3 a client hears of a refusal when it reads."""
    with socket.create_connection((HERE, daemon.port), timeout=60) as plain:
        try:
            with client.wrap_socket(plain, server_hostname=HERE) as secure:
                secure.sendall(b"GET /healthz HTTP/1.1\r\nHost: oclaw\r\nConnection: close\r\n\r\n")
                return secure.recv(12) == b"HTTP/1.1 200"
        except (ssl.SSLError, ConnectionResetError, BrokenPipeError):
            return False


def test_a_certificate_that_is_renewed_while_the_gateway_starts_is_shown_after_a_reload(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(certificate: Path, key: Path, **more: Any) -> ssl.SSLContext:
        context = server_context(certificate, key, **more)
        renew(tmp_path, authority)
        return context

    renew(tmp_path, authority)
    listen = ListenSettings(tls_certificate="port.pem", tls_key="port.key")
    settings = Settings(directory=tmp_path, state_dir=tmp_path, listen=listen)
    with monkeypatch.context() as patched:
        patched.setattr("gateway.daemon.certificate.server_context", slow)
        certificate = Certificate(settings)
    assert certificate.again(settings)() == ("new connections are shown another certificate",)
    assert certificate.tls is not None and greeted(certificate.tls.context) == (tmp_path / "port.pem").read_text()


def test_an_encrypted_key_is_told_and_no_terminal_asked_for_its_password(authority: trustme.CA, tmp_path: Path) -> None:
    renew(tmp_path, authority)
    key = load_pem_private_key((tmp_path / "port.key").read_bytes(), None)
    sealed = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    (tmp_path / "port.key").write_bytes(sealed)
    listen = ListenSettings(tls_certificate="port.pem", tls_key="port.key")
    with pytest.raises(SettingErrors, match="its key is encrypted"):
        tls_context(Settings(directory=tmp_path, state_dir=tmp_path, listen=listen))


def test_a_certificate_of_a_version_that_none_has_is_shown_as_openssl_shows_it(
    authority: trustme.CA, tmp_path: Path
) -> None:
    renew(tmp_path, authority)
    made = ssl.PEM_cert_to_DER_cert((tmp_path / "port.pem").read_text())
    third, sixth = bytes.fromhex("a003020102"), bytes.fromhex("a003020105")
    odd = ssl.DER_cert_to_PEM_cert(made.replace(third, sixth, 1))
    (tmp_path / "port.pem").write_text(odd)
    listen = ListenSettings(tls_certificate="port.pem", tls_key="port.key")
    certificate = Certificate(Settings(directory=tmp_path, state_dir=tmp_path, listen=listen))
    assert certificate.tls is not None and greeted(certificate.tls.context) == odd
    assert certificate.lasting is None, "nobody can say how long"


def greeted(context: ssl.SSLContext) -> str:
    """What a client is shown."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours, theirs = context.wrap_bio(to_server, to_client, server_side=True), client.wrap_bio(to_client, to_server)
    for side in (theirs, ours, theirs):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            pass
    return ssl.DER_cert_to_PEM_cert(theirs.getpeercert(binary_form=True) or b"")
