"""People on a real ngIRCd talk to a real gateway, whoever is killed meanwhile."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trustme

from gateway.channels.irc_lines import Line
from tests.real.daemon import Daemon, free_port, running
from tests.real.irc_user import Person, person
from tests.real.ngircd import Ngircd, open_ngircd

pytestmark = pytest.mark.real

CONFIGURATION = """\
[gateway]
default_pipeline = "chat"
log_level = "debug"
[listen]
addresses = ["127.0.0.1:{port}"]
[models.echo]
provider = "echo"
template = "you said: {{text}}"
[channels.irc]
type = "irc"
enabled = true
host = "127.0.0.1"
port = {irc}
tls = false
nick = "oclaw"
channels = ["#help"]
seconds_per_line = {pace}
burst_lines = 4
ping_seconds = 5.0
patience_seconds = 5.0
"""


@asynccontextmanager
async def town(folder: Path, *, pace: float = 0.0) -> AsyncIterator[tuple[Ngircd, Daemon]]:
    async with open_ngircd(folder / "irc") as server:
        port = free_port()
        daemon = Daemon(folder / "gateway", port, CONFIGURATION.format(port=port, irc=server.port, pace=pace), {})
        daemon.write("pipelines.d/chat.yaml", "pipeline: [{name: say, model: echo}]\n")
        async with running(daemon):
            yield server, daemon


def is_there(line: Line) -> bool:
    return line.command == "353" and "oclaw" in [name.lstrip("@+") for name in line.param(-1).split()]


async def meets(it: Person) -> None:
    """Wait until the gateway is in the room."""
    with trio.fail_after(150):
        while True:
            it.heard.clear()
            await it.raw("NAMES #help")
            await it.hears("366", "#help")
            if any(is_there(line) for line in it.heard):
                break
            await trio.sleep(0.3)
    it.heard.clear()


async def test_a_conversation_in_a_channel_and_in_a_query(tmp_path):
    async with town(tmp_path) as (server, _), person(server.port, "ann", "#help") as ann:
        await meets(ann)
        await ann.say("#help", "nobody in particular")
        await ann.say("#help", "oclaw: hello")
        await ann.raw("NOTICE oclaw :a notice is never answered")
        await ann.say("oclaw", "\x01VERSION\x01")
        await ann.say("oclaw", "\x01ACTION waves\x01")
        await ann.say("oclaw", "\x02bold\x02 café 漢字 🎉")
        await ann.until(lambda it: len(it.texts()) == 3)
        await ann.until(lambda it: it.texts()[-1].endswith("🎉"))
        assert sorted(ann.texts()) == sorted(["ann: you said: hello", "you said: waves", "you said: bold café 漢字 🎉"])


async def test_a_long_reply_comes_in_lines_whole_and_in_order_and_nobody_is_disconnected(tmp_path):
    words = [f"wörd{number}" for number in range(50)]
    async with town(tmp_path, pace=1.0) as (server, _), person(server.port, "ann", "#help") as ann:
        await meets(ann)
        await ann.say("oclaw", " ".join(words))
        await ann.say("oclaw", "/me " + "x" * 300)
        await ann.until(lambda it: "x" * 280 in "".join(it.texts()).replace(" ", ""), 90)
        said = " ".join(ann.texts())
        assert said.startswith("you said: " + " ".join(words))
        assert not any(line.command in ("QUIT", "ERROR") for line in ann.heard)


async def test_no_line_of_a_model_can_become_a_command(tmp_path):
    async with town(tmp_path) as (server, daemon), person(server.port, "ann", "#help") as ann:
        await meets(ann)
        where = ("--channel", "irc", "--conversation", "ann")
        await trio.to_thread.run_sync(daemon.command, "send", "a\r\nQUIT :bye\r\nJOIN #evil", *where)
        await ann.until(lambda it: it.texts()[-1:] == ["JOIN #evil"])
        await ann.say("oclaw", "still here?")
        await ann.until(lambda it: any("still here?" in text for text in it.texts()))
        assert ann.texts()[:3] == ["you said: a", "QUIT :bye", "JOIN #evil"]
        assert not any(line.command in ("QUIT", "JOIN") for line in ann.heard)


@pytest.mark.parametrize("trusted", [True, False])
async def test_tls_is_spoken_with_whom_we_trust_alone(tmp_path, trusted):
    authority, stranger = trustme.CA(), trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    for path in tmp_path.glob("*.pem"):
        path.chmod(0o644)
    tmp_path.chmod(0o755)
    async with open_ngircd(tmp_path / "irc", (tmp_path / "cert.pem", tmp_path / "key.pem")) as server:
        port = free_port()
        text = CONFIGURATION.format(port=port, irc=server.port, pace=0).replace(
            "tls = false", 'tls_authority = "ca.pem"'
        )
        daemon = Daemon(tmp_path / "gateway", port, text, {})
        daemon.write("pipelines.d/chat.yaml", "pipeline: [{name: say, model: echo}]\n")
        (authority if trusted else stranger).cert_pem.write_to_path(tmp_path / "gateway" / "ca.pem")
        printed = await trio.to_thread.run_sync(daemon.command, "doctor", "irc")
        assert ("with TLS" in printed and "known as oclaw" in printed) is trusted, printed
        assert ("no TLS with" in printed) is not trusted, printed
        if trusted:
            async with running(daemon), person(server.plain_port, "ann", "#help") as ann:
                await meets(ann)
                await ann.say("oclaw", "hello")
                await ann.until(lambda it: it.texts() == ["you said: hello"])


async def test_a_taken_nick_is_another_one_until_it_is_free(tmp_path):
    async with open_ngircd(tmp_path / "irc") as server, person(server.port, "oclaw", "#help") as thief:
        port = free_port()
        daemon = Daemon(tmp_path / "g", port, CONFIGURATION.format(port=port, irc=server.port, pace=0), {})
        daemon.write("pipelines.d/chat.yaml", "pipeline: [{name: say, model: echo}]\n")
        async with running(daemon):
            await thief.until(lambda it: any(x.command == "JOIN" and x.nick == "oclaw_" for x in it.heard))
            await thief.say("oclaw_", "who are you?")
            await thief.until(lambda it: it.texts("oclaw_") == ["you said: who are you?"])
            assert "oclaw_" in daemon.command("status")


async def test_doctor_says_what_is_right_and_what_is_wrong(tmp_path):
    async with town(tmp_path) as (server, daemon):
        await daemon.stop()
        printed = daemon.command("doctor", "irc")
        assert "known as oclaw" in printed and "#help: joined" in printed
        await server.kill()
        assert "cannot connect" in daemon.command("doctor", "irc")


@pytest.mark.parametrize("victim", ["server", "gateway", "both"])
async def test_nothing_is_repeated_or_disordered_whoever_is_killed(tmp_path, victim):
    """What IRC itself can lose: what is said while the gateway or the server is away, or is on its way then."""
    chance = random.Random(victim)
    asked, heard = 0, []
    async with town(tmp_path) as (server, daemon):
        for _ in range(3):
            async with person(server.port, "ann", "#help") as ann:
                await meets(ann)
                confirmed = asked
                for _ in range(4):
                    asked += 1
                    await ann.say("oclaw", f"number {asked}")
                with trio.move_on_after(chance.uniform(0.0, 0.4)):
                    await ann.until(lambda it, most=asked - confirmed: len(it.texts()) >= most)
                if victim in ("gateway", "both"):
                    await daemon.kill()
                    await daemon.start()
                if victim in ("server", "both"):
                    heard += ann.texts()
                    await server.kill()
                    await server.start()
                else:
                    await meets_again(ann)
                    asked += 1
                    await ann.say("oclaw", f"number {asked}")
                    await ann.until(lambda it, last=asked: any(t.endswith(f" {last}") for t in it.texts()), 90)
                    heard += ann.texts()
        async with person(server.port, "ann", "#help") as ann:
            await meets_again(ann)
            asked += 1
            await ann.say("oclaw", f"number {asked}")
            await ann.until(lambda it, last=asked: any(t.endswith(f" {last}") for t in it.texts()), 90)
            heard += ann.texts()
    numbers = [int(text.rpartition(" ")[2]) for text in heard]
    assert len(numbers) == len(set(numbers)), "nothing is said twice"
    assert numbers == sorted(numbers), "nothing is out of order"
    assert numbers[-1] == asked


async def meets_again(it: Person) -> None:
    """Wait until the gateway is in the room, and keep what was heard meanwhile."""
    before = list(it.heard)
    with trio.fail_after(150):
        while True:
            mark = len(it.heard)
            await it.raw("NAMES #help")
            await it.until(lambda it, mark=mark: any(x.command == "366" for x in it.heard[mark:]))
            if any(is_there(line) for line in it.heard[mark:]):
                break
            await trio.sleep(0.3)
    assert it.heard[: len(before)] == before
