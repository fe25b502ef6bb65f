"""A secret that has another value in its old place is taken by a reload of the real daemon."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

import standardwebhooks

from tests.support.raw import Raw
from tests.support.rules_daemon import Daemon, a_daemon

BODY = json.dumps({"text": "hi"})
CHANNELS = """
[channels.till]
type = "webhook"
auth = "bearer"
tokens = ["file:token"]
[channels.shop]
type = "webhook"
secrets = ["file:secret"]
"""
TOKENS = ("the-first-token", "the-second-token")
SECRETS = tuple("whsec_" + base64.b64encode(letter * 32).decode() for letter in (b"a", b"b"))


def bearer(number: int) -> dict[str, str]:
    return {"Authorization": f"Bearer {TOKENS[number]}"}


def signature(number: int) -> dict[str, str]:
    now = datetime.now(UTC)
    signed = standardwebhooks.Webhook(SECRETS[number]).sign(f"msg_{number}", now, BODY)
    return {"webhook-id": f"msg_{number}", "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": signed}


def post(daemon: Daemon, channel: str, fields: dict[str, str]) -> int:
    lines = [f"POST /channels/{channel} HTTP/1.1", "Host: localhost", f"Content-Length: {len(BODY)}"]
    lines += ["Content-Type: application/json", *(f"{name}: {value}" for name, value in fields.items()), "", BODY]
    with Raw(daemon.port) as connection:
        connection.write("\r\n".join(lines).encode())
        return connection.answer().status


def entry(daemon: Daemon) -> list[tuple[int, int]]:
    """Knock at both channels with the first value and with the second one."""
    proofs = (("till", bearer), ("shop", signature))
    return [(post(daemon, channel, proof(0)), post(daemon, channel, proof(1))) for channel, proof in proofs]


def supply(daemon: Daemon, number: int) -> list[str]:
    """Write these secrets into their files and reload; returns what is said to have changed."""
    (daemon.folder / "token").write_text(TOKENS[number])
    (daemon.folder / "secret").write_text(SECRETS[number])
    changes: list[str] = daemon.control.post("reload")["changes"]
    return changes


def test_the_old_value_is_refused_and_the_new_one_is_taken() -> None:
    with a_daemon() as daemon:
        with (daemon.folder / "oclaw.toml").open("a") as file:
            file.write(CHANNELS)
        supply(daemon, 0)
        assert entry(daemon) == [(202, 401), (202, 401)]
        assert supply(daemon, 1) == ["channel till has another secret", "channel shop has another secret"]
        assert entry(daemon) == [(401, 202), (401, 202)]
        assert supply(daemon, 1) == []
