"""Socket Mode against the stub that the official SDK certified: commit before ack, refresh, every kind of end."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
from msgspec.structs import replace

from gateway.channels.shared.reconnect import keep_connected
from gateway.channels.slack import SlackChannel
from gateway.channels.slack_api import WebApi
from gateway.channels.slack_socket import SocketMode
from gateway.config.secret import Secret
from gateway.errors import SettingError
from gateway.media.store import SealedFiles
from gateway.message.dictionary import Dictionaries
from gateway.message.keyring import new_keyring
from gateway.message.message import Attachment, Conversation
from gateway.message.receipt import Bounced, Delivered
from gateway.message.seal import Sealer
from gateway.notices import EnvelopeRefused
from gateway.ports import Arrived
from gateway.testing.channels import MOMENT, FakeInlet, bench, delivery
from protocols.http1.messages import Response
from protocols.http_client.client import HttpClient
from tests.channels.slack_words import COMMAND, ROOM, callback, post, reply, settings, told
from tests.support.slack_stub import APP_TOKEN, BOT_TOKEN, SlackStub


def connected_to(stub, *, media=None, door=None, report=print, **given):
    kit = replace(bench().kit, http=HttpClient(), media=media, report=report)
    usual = {
        "mode": "socket",
        "bot_token": Secret("env:B", BOT_TOKEN),
        "app_token": Secret("env:A", APP_TOKEN),
        "base_url": stub.base_url,
        "file_hosts": (f"http://127.0.0.1:{stub.port}",),
    }
    return SlackChannel("it", settings(**{**usual, **given}), kit, door)


@asynccontextmanager
async def running(stub, inlet=None, **given):
    """Run the channel until the block is left; yields it and its inlet."""
    inlet = inlet or FakeInlet()
    it = connected_to(stub, **given)
    async with trio.open_nursery() as nursery:
        with trio.fail_after(60):
            await nursery.start(it.run, inlet)
            while not it._entrance.account.user:
                await trio.sleep(0.01)
        with trio.fail_after(60):
            yield it, inlet
        nursery.cancel_scope.cancel()


async def test_an_envelope_of_each_kind_becomes_a_message_and_is_acknowledged_like_the_sdk_does():
    async with SlackStub().open() as stub, running(stub) as (_, inlet):
        sent = [
            stub.tell(callback(post("hello", ts="1.000001"))),
            stub.tell(COMMAND, "slash_commands"),
            stub.tell({"type": "block_actions", "user": {"id": "U1"}, "trigger_id": "t"}, "interactive"),
            stub.tell({}, "something_new"),
        ]
        await stub.until(lambda: len(stub.frames) == 4)
        assert sorted(stub.frames, key=str) == [{"envelope_id": each} for each in sent]
        assert sorted(message.content for message in inlet.messages) == ["/ask why & how", "block_actions", "hello"]
        assert inlet.states == ["connected"]


async def test_nothing_is_acknowledged_before_the_commit():
    inlet = FakeInlet()
    async with SlackStub().open() as stub, running(stub, inlet):
        inlet.held = True
        stub.tell(callback(post("hello")))
        while not inlet.waiting:
            await trio.sleep(0.01)
        assert stub.frames == []
        inlet.commit()
        await stub.until(lambda: stub.frames)


def commands(how_many):
    """Slash commands, each in a conversation of its own: in one they would wait for each other."""
    numbers = map(str, range(how_many))
    return [
        ({**COMMAND, "trigger_id": each, "channel_id": f"C{each}", "text": each}, "slash_commands") for each in numbers
    ]


async def test_reading_goes_on_while_the_gateway_takes_its_time():
    inlet = FakeInlet()
    async with SlackStub().open() as stub, running(stub, inlet):
        inlet.held = True
        sent = [stub.tell(*each) for each in commands(100)]
        while len(inlet.waiting) < 64:
            await trio.sleep(0.01)
        await stub.say({"type": "disconnect", "reason": "refresh_requested"})
        await stub.until(lambda: stub.connections == 2)
        assert len(inlet.waiting) == 64 and stub.frames == []
        inlet.held = False
        inlet.commit()
        await stub.until(lambda: all(map(stub.acknowledged, sent)))
        assert sorted(int(message.content[5:]) for message in inlet.messages) == list(range(100))
        assert "disconnected" not in inlet.states


async def test_what_waits_is_bounded_and_what_does_not_fit_comes_again(monkeypatch):
    monkeypatch.setattr("gateway.channels.slack_socket._MOST_WAITING_BYTES", 2000)
    inlet, seen = FakeInlet(), []
    async with SlackStub(again_seconds=0.2).open() as stub, running(stub, inlet, report=seen.append):
        inlet.held = True
        sent = [
            stub.tell(callback(post(str(number), ts=f"1.{number:06}", channel=f"C{number}"))) for number in range(80)
        ]
        while len(inlet.waiting) < 64 or not seen:
            await trio.sleep(0.01)
        assert all(isinstance(each, EnvelopeRefused) for each in seen)
        inlet.held = False
        inlet.commit()
        await stub.until(lambda: all(map(stub.acknowledged, sent)))
        assert sorted(int(message.content) for message in inlet.messages) == list(range(80))


async def test_what_was_not_acknowledged_comes_again_and_is_taken_once():
    inlet = FakeInlet()
    async with SlackStub(again_seconds=0.2).open() as stub, running(stub, inlet):
        inlet.held = True
        sent = stub.tell(callback(post("hello")))
        while len(inlet.waiting) < 1:
            await trio.sleep(0.01)
        await stub.until(lambda: stub._unacknowledged[sent]["tries"] > 1)
        inlet.held = False
        inlet.commit()
        await stub.until(partial(stub.acknowledged, sent))
        assert [message.content for message in inlet.messages] == ["hello"]


async def test_posts_of_one_channel_are_committed_in_the_order_they_came():
    async with SlackStub().open() as stub, running(stub) as (_, inlet):
        for number in range(40):
            stub.tell(callback(post(str(number), ts=f"1700000000.{number:06d}")))
        await stub.until(lambda: len(stub.frames) == 40)
        assert [message.content for message in inlet.messages] == [str(number) for number in range(40)]


@pytest.mark.parametrize("reason", ["warning", "refresh_requested"])
async def test_a_second_connection_stands_before_the_first_is_dropped_and_both_are_heard(reason):
    async with SlackStub().open() as stub, running(stub) as (_, inlet):
        await stub.say({"type": "disconnect", "reason": reason, "debug_info": {}})
        await stub.until(lambda: stub.connections == 2)
        assert len(stub.sockets) == 2, "the old connection is still there"
        first = {"envelope_id": "e1", "type": "events_api", "payload": callback(post("old", ts="1.000001"))}
        second = {"envelope_id": "e2", "type": "events_api", "payload": callback(post("new", ts="1.000002"))}
        await stub.say(first, 0)
        await stub.say(second, 1)
        await stub.say({**first, "envelope_id": "e3"}, 1)
        await stub.until(lambda: len(stub.frames) == 3)
        assert sorted(message.content for message in inlet.messages) == ["new", "old"]
        assert "disconnected" not in inlet.states


async def test_a_connection_that_breaks_is_made_again_with_a_new_address_and_nothing_is_missed():
    async with SlackStub().open() as stub, running(stub) as (_, inlet):
        stub.sockets[0].abort()
        sent = stub.tell(callback(post("meanwhile")))
        await stub.until(partial(stub.acknowledged, sent))
        assert stub.connections == 2
        assert inlet.states == ["connected", "disconnected", "connected"]
        assert [method for method, _ in stub.calls].count("apps.connections.open") == 2


async def test_a_server_that_is_down_at_start_is_waited_for():
    stub, inlet = SlackStub(), FakeInlet()
    async with stub.open():
        pass
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connected_to(stub).run, inlet)
        while not inlet.states:
            await trio.sleep(0.01)
        assert inlet.states == ["disconnected"]
        async with stub.open():
            with trio.fail_after(60):
                await stub.until(lambda: "connected" in inlet.states)
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "answer",
    [{"ok": False, "error": "invalid_auth"}, {"ok": False, "error": "missing_scope"}],
)
async def test_a_refused_app_token_ends_the_channel_with_its_setting_named(answer):
    async with SlackStub().open() as stub:
        stub.will("apps.connections.open", answer)
        with trio.fail_after(60), pytest.raises(SettingError, match=r"channels\.it\.app_token"):
            await connected_to(stub).run(FakeInlet())


async def test_socket_mode_switched_off_ends_the_channel():
    errors = []

    async def run(stub):
        with pytest.raises(SettingError, match="switched off") as caught:
            await connected_to(stub).run(FakeInlet())
        errors.append(caught.value)

    with trio.fail_after(60):
        async with SlackStub().open() as stub, trio.open_nursery() as nursery:
            nursery.start_soon(run, stub)
            await stub.until(lambda: stub.sockets)
            await stub.say({"type": "disconnect", "reason": "link_disabled"})
    assert errors[0].place == "channels.it.app_token"


@pytest.mark.parametrize("mode", ["events", "socket"])
async def test_a_refused_bot_token_ends_the_channel_with_its_setting_named(mode):
    async with SlackStub().open() as stub:
        stub.will("auth.test", {"ok": False, "error": "token_revoked"})
        with trio.fail_after(60), pytest.raises(SettingError, match=r"channels\.it\.bot_token.*token_revoked"):
            await connected_to(stub, mode=mode).run(FakeInlet())


async def test_frames_that_are_none_are_left():
    async with SlackStub().open() as stub, running(stub) as (_, inlet):
        for frame in ("[]", "null", "{", '{"type":7}', '{"envelope_id":{},"type":"x"}'):
            await stub.sockets[0].send(frame)
        stub.tell(callback(post("still here")))
        await stub.until(lambda: stub.frames)
        assert [message.content for message in inlet.messages] == ["still here"]


# -- files ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def shelf(tmp_path):
    """The gateway's own store."""
    files = SealedFiles(tmp_path)
    files.unlock(Sealer(new_keyring(0.0, os.urandom), Dictionaries(), os.urandom))
    return files


async def read(shelf, ref):
    return b"".join([piece async for piece in shelf.open(ref)])


def with_file(stub, text="look", ts="1700000000.000100", mime="image/png"):
    url = f"http://127.0.0.1:{stub.port}/files-pri/F1"
    file = {"id": "F1", "name": "cat.png", "mimetype": mime, "size": 3, "url_private": url}
    return post(text, ts=ts, subtype="file_share", files=[file])


async def test_a_file_is_fetched_with_the_token_before_the_post_is_acknowledged(shelf):
    async with SlackStub().open() as stub, running(stub, media=shelf, file_seconds=2.0) as (_, inlet):
        stub.files["F1"] = b"PNG"
        stub.tell(callback(with_file(stub)))
        stub.tell(callback(post("right behind it", ts="1700000000.000200")))
        await stub.until(lambda: len(stub.frames) == 2)
        assert [message.content for message in inlet.messages] == ["look", "right behind it"]
        assert await read(shelf, inlet.messages[0].attachments[0].ref) == b"PNG"


async def test_the_same_over_http_and_what_comes_behind_waits_for_its_turn(shelf):
    async with SlackStub().open() as stub:
        stub.files["F1"] = b"PNG"
        it = connected_to(stub, mode="events", media=shelf, file_seconds=2.0)
        first = it.receive(told(with_file(stub)), 1_700_000_000.0)
        second = it.receive(told(post("behind", ts="1700000000.000200")), 1_700_000_000.0)
        elsewhere = it.receive(told(post("elsewhere", channel="C2")), 1_700_000_000.0)
        assert isinstance(elsewhere, Arrived)
        done = []

        async def wait(name, coming):
            done.append((name, await coming))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait, "second", second)
            nursery.start_soon(wait, "first", first)
        assert [name for name, _ in done] == ["first", "second"]
        assert done[0][1].messages[0].attachments[0].ref
        assert isinstance(it.receive(told(post("later")), 1_700_000_000.0), Arrived | Response)


class SlowDoor:
    """Files come when the test opens the door."""

    def __init__(self):
        self.opened = trio.Event()

    async def fetch(self, attachment, **_):
        await self.opened.wait()
        return replace(attachment, ref="0" * 32)


async def test_files_of_posts_in_a_row_are_fetched_together_and_the_posts_keep_their_order(autojump_clock):
    it = SlackChannel("it", settings(file_seconds=2.0), bench().kit, door=SlowDoor())
    file = {"id": "F1", "name": "a", "url_private": "https://files.slack.com/a"}
    order = []

    async def wait(coming):
        order.append((await coming).messages[0].content)

    async with trio.open_nursery() as nursery:
        for name in ("first", "second", "third"):
            event = post(name, ts=f"1700000000.{len(name):06d}", subtype="file_share", files=[file])
            nursery.start_soon(wait, it.receive(told(event), MOMENT))
    assert order == ["first", "second", "third"]
    assert trio.current_time() <= 2.5, "Slack waits for three seconds"


async def test_a_command_that_waits_for_its_turn_is_taken_although_its_connection_is_gone():
    door = SlowDoor()
    async with SlackStub().open() as stub, running(stub, door=door, file_seconds=2.5) as (_, inlet):
        look = {"envelope_id": "e1", "type": "events_api", "payload": callback(with_file(stub))}
        await stub.say(look)
        await stub.say({"envelope_id": "e2", "type": "slash_commands", "payload": COMMAND})
        await stub.say({"envelope_id": "e3", "type": "hello_again", "payload": {}})
        await stub.until(lambda: {"envelope_id": "e3"} in stub.frames)
        stub.sockets[0].abort()
        await stub.until(lambda: inlet.states == ["connected", "disconnected", "connected"])
        door.opened.set()
        await stub.until(lambda: len(inlet.messages) == 2)
        assert [message.content for message in inlet.messages] == ["look", "/ask why & how"]


async def test_a_login_page_is_not_the_file_and_the_address_stays(shelf, tmp_path):
    async with SlackStub().open() as stub:
        other, notices = Secret("env:B", "xoxb-other"), []
        how = {"mode": "events", "media": shelf, "report": notices.append}
        it = connected_to(stub, file_seconds=2.0, bot_token=other, **how)
        came = await it.receive(told(with_file(stub)), 1_700_000_000.0)
        (file,) = came.messages[0].attachments
        assert (file.ref, file.url) == ("", f"http://127.0.0.1:{stub.port}/files-pri/F1")
        assert ["text/html" in each.detail for each in notices if type(each) is EnvelopeRefused] == [True]
        assert not [each for each in tmp_path.rglob("*") if each.is_file()]


async def test_a_file_of_another_workspace_is_asked_for_first(shelf):
    async with SlackStub().open() as stub, running(stub, media=shelf, file_seconds=2.5) as (_, inlet):
        stub.files["F1"] = b"PNG"
        (file,) = with_file(stub)["files"]
        stub.will("files.info", {"ok": True, "file": file}, {"ok": False, "error": "file_not_found"})
        shared = [{"id": each, "mode": "file_access", "file_access": "check_file_info"} for each in ("F1", "F2")]
        stub.tell(callback(post("", subtype="file_share", files=shared)))
        await stub.until(lambda: stub.frames)
        (message,) = inlet.messages
        assert message.type == "image" and message.metadata["files"] == shared
        assert [each.name for each in message.attachments] == ["cat.png"]
        assert await read(shelf, message.attachments[0].ref) == b"PNG"


async def test_an_address_that_is_not_on_the_list_never_sees_the_token(shelf):
    async with SlackStub().open() as stub:
        it = connected_to(stub, mode="events", media=shelf, file_seconds=2.0, file_hosts=("https://files.slack.com",))
        came = await it.receive(told(with_file(stub)), 1_700_000_000.0)
        assert came.messages[0].attachments[0].ref == ""
        assert stub.calls == []


async def test_a_file_that_is_too_slow_stays_an_address_and_the_post_goes_on(shelf):
    async def hang(stream):
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery, SlackStub().open() as stub:
        (listener,) = await nursery.start(partial(trio.serve_tcp, hang, 0, host="127.0.0.1"))
        port = listener.socket.getsockname()[1]
        slow = {"id": "F1", "name": "a", "mimetype": "image/png", "url_private": f"http://127.0.0.1:{port}/a"}
        hosts = (f"http://127.0.0.1:{port}",)
        it = connected_to(stub, mode="events", media=shelf, file_seconds=0.05, file_hosts=hosts)
        came = await it.receive(told(post("look", subtype="file_share", files=[slow])), 1_700_000_000.0)
        assert came.messages[0].attachments[0].url.endswith("/a")
        nursery.cancel_scope.cancel()


# -- out, over real sockets ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [True, False])
async def test_an_answer_that_is_lost_is_looked_up_and_the_message_stands_there_once(after):
    async with SlackStub().open() as stub, running(stub) as (it, _):
        stub.hangs_up("chat.postMessage", after=after)
        receipt, repeated = await it.deliver(delivery(reply("once"))), False
        while not isinstance(receipt, Delivered):
            repeated = True
            receipt = await it.deliver(delivery(reply("once"), attempt=2, repeated=repeated))
        assert stub.texts(ROOM) == ["once"]
        assert receipt.remote_id == stub.posts[0]["ts"]


async def test_an_answer_to_a_person_that_was_lost_is_looked_up_and_files_reach_them_too(shelf):
    async def picture():
        yield b"PNG"

    stored = await shelf.save(picture(), max_bytes=10)
    file = Attachment("image", "image/png", "cat.png", 3, ref=stored.ref)
    to_ann = replace(reply("once"), conversation=Conversation("U0ANN00001", "direct"))
    async with SlackStub().open() as stub:
        stub.hangs_up("chat.postMessage", after=True)
        async with running(stub, media=shelf) as (it, _):
            await it.deliver(delivery(to_ann))
        async with running(stub, media=shelf) as (it, _):  # a later life of the gateway
            assert isinstance(await it.deliver(delivery(to_ann, repeated=True)), Delivered)
            look = replace(to_ann, content="look", attachments=(file,))
            assert isinstance(await it.deliver(delivery(look, index=1)), Delivered)
        assert stub.texts("D0ANN00001") == ["once", "look"]


async def test_our_own_post_told_of_by_slack_is_dropped():
    async with SlackStub().open() as stub, running(stub) as (it, inlet):
        receipt = await it.deliver(delivery(reply("mine")))
        stub.tell(callback(post("mine", ts=receipt.remote_id, user="U0BOT00001", bot_id="B0BOT00001")))
        await stub.until(lambda: stub.frames)
        assert inlet.messages == []


async def test_what_somebody_says_elsewhere_with_the_ts_of_our_own_post_is_heard():
    async with SlackStub().open() as stub, running(stub) as (it, inlet):
        receipt = await it.deliver(delivery(reply("mine")))
        stub.tell(callback(post("theirs", ts=receipt.remote_id, channel="C2")))
        await stub.until(lambda: stub.frames)
        assert [message.content for message in inlet.messages] == ["theirs"]


async def test_a_file_of_ours_arrives(shelf):
    async def picture():
        yield b"PN"
        yield b"G"

    stored = await shelf.save(picture(), max_bytes=10)
    async with SlackStub().open() as stub, running(stub, media=shelf) as (it, _):
        attachment = Attachment("image", "image/png", "cat.png", 3, ref=stored.ref)
        assert isinstance(await it.deliver(delivery(reply("look", attachments=(attachment,)))), Delivered)
        assert list(stub.files.values()) == [b"PNG"] and stub.posts[0]["files"][0]["title"] == "cat.png"
        gone = Attachment("image", "image/png", "cat.png", 3, ref="0" * 32)
        assert isinstance(await it.deliver(delivery(reply("look", attachments=(gone,)))), Bounced)


async def test_a_file_of_the_same_name_that_another_reply_has_shared_is_not_taken_for_ours(shelf):
    async def picture():
        yield b"PNG"

    stored = await shelf.save(picture(), max_bytes=10)
    attachment = Attachment("image", "image/png", "cat.png", 3, ref=stored.ref)
    async with SlackStub().open() as stub, running(stub, media=shelf) as (it, _):
        for index in (0, 1, 1):  # as after a start: each may be a repetition, and the last one is
            again = delivery(reply("look", attachments=(attachment,)), index=index, repeated=True)
            assert isinstance(await it.deliver(again), Delivered)
        assert len(stub.posts) == 2


async def test_a_connection_that_is_silent_though_it_stands_is_made_again():
    stub, inlet = SlackStub(), FakeInlet()
    stub.deaf = True
    async with stub.open(), HttpClient() as http, trio.open_nursery() as nursery:
        api = WebApi(replace(bench().kit, http=http), stub.base_url, APP_TOKEN)
        socket = SocketMode(api, lambda _: trio.lowlevel.checkpoint, place="x", ping_seconds=0.05)
        nursery.start_soon(keep_connected, partial(socket.session, commits=nursery), inlet)
        with trio.fail_after(60):
            await stub.until(lambda: stub.connections == 2)
        assert inlet.states[:2] == ["connected", "disconnected"]
        nursery.cancel_scope.cancel()


async def test_a_slack_that_takes_the_question_for_an_address_and_never_answers_is_asked_again(autojump_clock):
    asked = []

    class Silent:
        async def request(self, method, url, **_):
            asked.append(trio.current_time())
            await trio.sleep_forever()

    inlet = FakeInlet()
    socket = SocketMode(
        WebApi(replace(bench().kit, http=Silent()), "http://slack/api/", APP_TOKEN),
        lambda _: trio.lowlevel.checkpoint,
        place="x",
        ping_seconds=15,
    )
    with trio.move_on_after(100):
        async with trio.open_nursery() as nursery:
            await keep_connected(partial(socket.session, commits=nursery), inlet)
    assert len(asked) >= 3 and "disconnected" in inlet.states


async def findings(it):
    found = []
    await it.doctor(found.append)
    return found


async def test_the_doctor_finds_everything_in_order_and_says_what_is_not():
    async with SlackStub().open() as stub:
        assert all(finding.ok for finding in await findings(connected_to(stub)))
        stub.will("apps.connections.open", {"ok": False, "error": "invalid_auth"})
        *_, last = await findings(connected_to(stub))
        assert not last.ok and "app_token" in last.what and last.way_out
        stub.will("auth.test", {"ok": False, "error": "invalid_auth"})
        (only,) = await findings(connected_to(stub))
        assert not only.ok
    (only,) = await findings(connected_to(stub))
    assert not only.ok and "not reached" in only.what


async def test_the_doctor_names_the_scopes_that_are_missing():
    few = Response(
        200, (("X-OAuth-Scopes", "chat:write,channels:history"),), b'{"ok":true,"user":"oclaw","team":"Acme"}'
    )
    async with SlackStub().open() as stub:
        stub.will("auth.test", few)
        bad = " ".join(finding.way_out for finding in await findings(connected_to(stub)) if not finding.ok)
        assert "groups:history, im:history, mpim:history" in bad and "files:read" in bad and "chat:write" not in bad
