"""A certificate that was renewed is shown from the next reload on; one that cannot be used leaves the one before it."""

from __future__ import annotations

import signal
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from gateway.config.settings import ListenSettings, Settings
from gateway.daemon.certificate import Certificate
from gateway.errors import SettingErrors
from protocols.transport.tls import server_context
from tests.support.rules_daemon import Daemon, running, write_configuration

HERE = "127.0.0.1"


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def daemon(authority: trustme.CA) -> Iterator[Daemon]:
    with tempfile.TemporaryDirectory() as name:
        conf = write_configuration(Path(name))
        renew(conf, authority)
        settings = conf / "oclaw.toml"
        settings.write_text(
            settings.read_text().replace("[listen]\n", '[listen]\ntls_certificate = "port.pem"\ntls_key = "port.key"\n')
        )
        with running(conf) as served:
            yield served


def renew(conf: Path, authority: trustme.CA) -> None:
    made = authority.issue_cert(HERE)
    made.cert_chain_pems[0].write_to_path(str(conf / "port.pem"))
    made.private_key_pem.write_to_path(str(conf / "port.key"))


def shown(daemon: Daemon) -> str:
    return ssl.get_server_certificate((HERE, daemon.port), timeout=60)


def reload(daemon: Daemon, outcome: str) -> str:
    daemon.process.send_signal(signal.SIGHUP)
    told = daemon.until(outcome, what="configuration")
    return str(told.get("changes") or told.get("why"))


def test_a_renewed_certificate_is_shown_after_a_reload(daemon: Daemon, authority: trustme.CA) -> None:
    first = shown(daemon)
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
    authority: trustme.CA, tmp_path: Path
) -> None:
    renew(tmp_path, authority)
    listen = ListenSettings(tls_certificate="port.pem", tls_key="port.key")
    settings = Settings(directory=tmp_path, state_dir=tmp_path, listen=listen)
    certificate, first = Certificate(settings), (tmp_path / "port.pem").read_text()
    context = certificate.context
    renew(tmp_path, authority)
    take = certificate.again(settings)
    (tmp_path / "port.key").write_bytes(authority.issue_cert(HERE).private_key_pem.bytes())
    with pytest.raises(SettingErrors, match="changing"):
        take()
    assert context is not None and greeted(context) == first


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
    assert certificate.context is not None and greeted(certificate.context) == (tmp_path / "port.pem").read_text()


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
