"""`oclaw verify` on a real scratch daemon: what it prints, and that it fails when a promise is broken."""

from __future__ import annotations

import json

from click.testing import CliRunner

from gateway.cli import verify
from gateway.cli.frame import oclaw
from gateway.testing.proof import Tally


def test_verify_kills_a_scratch_gateway_and_accounts_for_every_message():
    result = CliRunner().invoke(oclaw, ["verify", "--kills", "1", "--conversations", "5", "--rate", "100", "--json"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["kept"] and told["kills"] == 1
    assert told["accepted"] == told["delivered"] > 0
    assert told["lost"] == told["reordered"] == told["duplicated"] == 0


def test_verify_fails_when_a_message_is_lost(monkeypatch):
    lost = Tally(sent=2, accepted=2, delivered=1, repeated=0, duplicated=0, reordered=0, lost=1)
    monkeypatch.setattr(verify, "_proved", lambda plan, disk: lost)
    result = CliRunner().invoke(oclaw, ["verify"])
    assert result.exit_code == 1
    assert "lost" in result.stdout
