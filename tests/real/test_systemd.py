"""The unit under a real systemd: installed by its own words, confined, started, reloaded, killed and mended."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.real.systemd_box import Box, open_box

pytestmark = pytest.mark.real

TOKEN = "a-token-that-nobody-guesses"
# One message, by a person who repeats it until it is taken.
SAY = """\
export LD_LIBRARY_PATH=/opt/oclaw/python/lib
/opt/oclaw/python/bin/python3 - <<'END'
import http.client, json, time
for number in range({first}, {first} + {count}):
    while True:
        try:
            call = http.client.HTTPConnection("127.0.0.1", 8420, timeout=30)
            said = json.dumps({{"id": str(number), "text": f"n{{number}}", "sender": {{"id": "anna"}}}})
            headers = {{"Authorization": "Bearer {token}", "Content-Type": "application/json"}}
            call.request("POST", "/channels/webhook", said, headers)
            status = call.getresponse().status
            if status == 202:
                break
            assert status == 503, status
        except OSError:
            pass
        time.sleep(0.05)
END
"""
HOOK = """\
import os
def told(message):
    if message.content == "n13":
        os.abort()
    return message
"""
# The watchdog's patience is 30 s.
DROP_IN = """\
[Service]
LoadCredential=webhook-token:/etc/credstore/webhook-token
WatchdogSec=8
RestartSec=0.1
"""
STATUS = "systemctl show oclaw -P StatusText"
STATE = "systemctl show oclaw -P ActiveState"


CHANGES = {
    'type = "webhook"\nenabled = false': 'type = "webhook"\nenabled = true',
    'auth = "signature"': 'auth = "bearer"',
    'secrets = ["env:WEBHOOK_SECRET"]': "secrets = []",
    "tokens = []": 'tokens = ["credential:webhook-token"]',
    'inbound = ["my_hooks:preprocess_hook"]': 'inbound = [{use = "my_hooks:told", mode = "isolated", policy = "skip"}]',
}


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    """Install oclaw as the README and the unit's first lines say, with its secret as a credential."""
    with open_box() as made:
        made.does("/opt/oclaw/bin/oclaw init --env prod --channel webhook /etc/oclaw")
        settings = made.does("cat /etc/oclaw/oclaw.toml")
        for old, new in CHANGES.items():
            assert old in settings
            settings = settings.replace(old, new, 1)
        write(made, "/etc/oclaw/oclaw.toml", settings)
        write(made, "/etc/oclaw/hooks/my_hooks.py", HOOK)
        made.does("chmod -R go+rX /etc/oclaw")
        made.does(f"umask 077; printf {TOKEN} > /etc/credstore/webhook-token")
        made.does("mkdir /etc/systemd/system/oclaw.service.d")
        write(made, "/etc/systemd/system/oclaw.service.d/own.conf", DROP_IN)
        unit = made.does("cat /etc/oclaw/systemd/oclaw.service")
        steps = re.findall(r"^#   (.+)$", unit, re.MULTILINE)
        assert len(steps) == 2 and "enable --now" in steps[1]
        made.does(f"cd /etc/oclaw/systemd; {'; '.join(steps)}")
        yield made


def write(box: Box, path: str, text: str) -> None:
    """Put a file into the box."""
    box.does(f"cat > {path} <<'END'\n{text}\nEND")


def say(box: Box, first: int, count: int) -> None:
    """Let the gateway take messages."""
    box.does(SAY.format(first=first, count=count, token=TOKEN))


def test_it_serves_as_nobody_in_particular_with_its_credential_and_its_state(box: Box) -> None:
    assert box.does(STATUS) == "Serving on 127.0.0.1:8420"
    say(box, 1, 20)
    pid = box.does("systemctl show oclaw -P MainPID")
    status = box.does(f"cat /proc/{pid}/status")
    assert "CapEff:\t0000000000000000" in status and "NoNewPrivs:\t1" in status and "Uid:\t0" not in status
    assert re.search("Max core file size +0 ", box.does(f"cat /proc/{pid}/limits"))
    assert box.does("stat -c %a /var/lib/private/oclaw/journal.sqlite3 /run/oclaw") == "600\n700"
    assert TOKEN not in box.does("journalctl --sync; journalctl -u oclaw -o cat")
    # The isolated hook's process ended in the middle: it alone, and the journal has it as a warning.
    assert '"event":"HookFailed"' in box.does("journalctl --sync; journalctl -u oclaw -o cat -p warning")
    assert box.does("systemctl show oclaw -P NRestarts") == "0"
    assert box.run("/opt/oclaw/bin/oclaw doctor --config /etc/oclaw")[0] == 0


def test_edited_rules_are_seen_and_a_broken_configuration_is_refused_and_not_tried_again(box: Box) -> None:
    write(box, "/etc/oclaw/rules.d/new.rules", 'WHEN message.content == "no"\nTHEN reject("no")')
    box.until("journalctl --sync; journalctl -u oclaw -o cat | grep -c 'rule at new.rules:1 added'", "1")
    box.does("systemctl reload oclaw")
    write(box, "/etc/oclaw/rules.d/new.rules", "WHEN nonsense THEN")
    assert box.run("systemctl reload oclaw")[0] != 0
    assert box.does(STATUS).startswith("Serving as before")
    say(box, 100, 5)
    assert box.run("systemctl restart oclaw")[0] != 0
    assert box.does("systemctl show oclaw -P ExecMainStatus -P ActiveState").split() == ["78", "failed"]
    assert "new.rules:1" in box.does("journalctl --sync; journalctl -u oclaw -o cat -p err")
    box.does("rm /etc/oclaw/rules.d/new.rules; systemctl start oclaw")
    assert box.does(STATE) == "active"


def test_it_comes_back_when_it_is_killed_and_when_it_hangs(box: Box) -> None:
    for number, blow in enumerate(("KILL", "STOP"), 1):
        box.does(f"systemctl kill --kill-whom=main -s {blow} oclaw")
        box.until("systemctl show oclaw -P NRestarts -P ActiveState | paste -sd' '", f"{number} active")
    say(box, 200, 5)
    box.does("systemctl stop oclaw")
    assert box.does("systemctl show oclaw -P Result -P ExecMainStatus").split() == ["success", "0"]
    assert box.does("/opt/oclaw/bin/oclaw journal check --config /etc/oclaw") == "whole"
    box.does("systemctl start oclaw")


def test_what_root_restores_is_refused_with_the_way_out_that_helps(box: Box) -> None:
    box.does(
        "/opt/oclaw/bin/oclaw journal backup /root/backup --config /etc/oclaw; cp /var/lib/oclaw/keyring /root/keyring"
    )
    box.does("systemctl stop oclaw; rm /var/lib/oclaw/journal* /var/lib/oclaw/keyring")
    box.does("install -m 600 /root/backup /var/lib/oclaw/journal.sqlite3; install -m 600 /root/keyring /var/lib/oclaw/")
    code, said = box.run("/opt/oclaw/bin/oclaw doctor --config /etc/oclaw")
    way_out = re.search(r"chown -R --reference=\S+ \S+", said)
    assert code == 1 and way_out
    assert box.run("systemctl start oclaw")[0] != 0
    assert way_out[0] in box.does("journalctl --sync; journalctl -u oclaw -o cat -p err")
    box.does(f"{way_out[0]}; systemctl start oclaw")
    say(box, 300, 5)


def test_the_port_can_be_systemds_and_nobody_is_turned_away_by_a_restart(box: Box) -> None:
    box.does("cp /etc/oclaw/systemd/oclaw.socket /etc/systemd/system/; systemctl daemon-reload; systemctl stop oclaw")
    box.does("systemctl enable --now oclaw.socket; systemctl start oclaw")
    box.does("(sleep 0.1; systemctl restart oclaw) & curl -sSf --retry 0 http://127.0.0.1:8420/healthz; wait")
    box.does("systemctl stop oclaw; curl -sSf http://127.0.0.1:8420/healthz")
    box.until(STATE, "active")
    box.does("systemctl stop oclaw.socket oclaw.service")
    assert box.run("curl -s http://127.0.0.1:8420/healthz")[0] == 7
