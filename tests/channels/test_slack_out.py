"""Slack's exit: what is sent, what Slack's answers mean, and that nothing is said twice."""

from __future__ import annotations

import json
from urllib.parse import parse_qs

import pytest
import trio
from msgspec.structs import replace

from gateway.channels.slack import SlackChannel
from gateway.errors import ModelError
from gateway.message.message import Attachment, Conversation
from gateway.message.receipt import Bounced, Deferred, Delivered, Unknown
from gateway.testing.channels import FakeInlet, answered, bench, delivery
from protocols.errors import NothingSent, UnknownAfterSend
from tests.channels.slack_words import BOT, ROOM, channel, posted, reply, said, settings

NOTHING_THERE = said({"ok": True, "messages": []})


async def sent(message, *answers, repeated=False, replayed=False, **how):
    table = bench(*(answers or (posted(),)))
    it = channel(table.kit, **how)
    receipt = await it.deliver(delivery(message, repeated=repeated, replayed=replayed))
    return receipt, [(each.url.rpartition("/")[2], _body(each)) for each in table.http.sent], table


def _body(asked):
    if asked.headers["content-type"].startswith("application/json"):
        return json.loads(asked.body)
    if "form" in asked.headers["content-type"]:
        return {key: values[0] for key, values in parse_qs(asked.body.decode()).items()}
    return asked.body


async def test_a_reply_is_posted_with_the_bot_token_and_the_deliverys_id():
    receipt, calls, table = await sent(reply("**hi** <all>"))
    assert receipt == Delivered("1700000001.000200")
    ((method, body),) = calls
    assert (method, body["channel"], body["text"]) == ("chat.postMessage", ROOM, "*hi* &lt;all&gt;")
    assert body["metadata"]["event_payload"] == {"id": delivery(reply()).id}
    assert "thread_ts" not in body
    assert table.http.sent[0].headers["authorization"] == "Bearer xoxb-1"


async def test_a_reply_in_a_thread_names_its_root():
    message = reply()
    in_thread = Conversation(ROOM, "channel", thread="1700000000.000100")
    _, calls, _ = await sent(replace(message, conversation=in_thread))
    assert calls[0][1]["thread_ts"] == "1700000000.000100"


@pytest.mark.parametrize(
    "message, method, body",
    [
        (
            reply("new", action="edit", target_id="1.2"),
            "chat.update",
            {"channel": ROOM, "ts": "1.2", "text": "new"},
        ),
        (reply("", action="delete", target_id="1.2"), "chat.delete", {"channel": ROOM, "ts": "1.2"}),
        (
            reply("👍", type="reaction", target_id="1.2"),
            "reactions.add",
            {"channel": ROOM, "timestamp": "1.2", "name": "+1"},
        ),
        (
            reply(":eyes:", type="reaction", action="delete", target_id="1.2"),
            "reactions.remove",
            {"channel": ROOM, "timestamp": "1.2", "name": "eyes"},
        ),
    ],
)
async def test_edits_deletes_and_reactions_go_out_too(message, method, body):
    receipt, calls, _ = await sent(message, said({"ok": True, "ts": "1.2"}))
    assert isinstance(receipt, Delivered)
    assert calls == [(method, body)]


@pytest.mark.parametrize(
    "answer, receipt",
    [
        (said({"ok": False, "error": "channel_not_found"}), Bounced),
        (said({"ok": False, "error": "something_new"}), Bounced),
        (said({"ok": False, "error": "missing_scope"}), Bounced),
        (said({"ok": False, "error": "ratelimited"}, status=429, Retry_After="7"), Deferred),
        (said({"ok": False, "error": "ratelimited"}, Retry_After="7"), Deferred),
        (said({"ok": False, "error": "token_revoked"}), Deferred),
        (said({"ok": False, "error": "service_unavailable"}), Deferred),
        (said({"ok": False, "error": "internal_error"}), Unknown),
        (said({"ok": False, "error": "fatal_error"}), Unknown),
        (answered(503, retry_after="7"), Deferred),
        (answered(500), Deferred),
        (answered(302, location="http://169.254.169.254/"), Bounced),
        (answered(200), Unknown),
        (NothingSent("refused"), Deferred),
        (UnknownAfterSend("broke"), Unknown),
    ],
)
async def test_each_answer_of_slack_becomes_the_right_receipt(answer, receipt):
    got, calls, _ = await sent(reply(), answer)
    assert isinstance(got, receipt), got
    assert len(calls) == 1
    if isinstance(got, Deferred) and "7" in str(getattr(answer, "headers", {}) and answer.headers.get("Retry-After")):
        assert got.after_seconds == 7


async def test_what_a_refused_token_holds_up_waits_uncounted_for_a_person():
    receipt, _, _ = await sent(reply(), said({"ok": False, "error": "token_revoked"}))
    assert isinstance(receipt, Deferred) and receipt.offline and receipt.after_seconds == 300


async def test_a_slack_that_is_not_reached_for_a_minute_is_away_and_replies_wait_uncounted(autojump_clock):
    table = bench(*[NothingSent("no route")] * 3, posted(), NothingSent("no route"))
    it = channel(table.kit)
    waits = []
    for _ in range(5):
        waits.append(await it.deliver(delivery(reply())))
        await trio.sleep(40)
    assert [getattr(each, "offline", None) for each in waits] == [False, False, True, None, False]


async def test_a_slack_that_is_away_shows_in_the_status_and_its_return_wakes_what_waited(autojump_clock):
    table, inlet = bench(said({"ok": True, "user_id": BOT, "user": "oclaw"}), NothingSent("no route")), FakeInlet()
    it = channel(table.kit)
    async with trio.open_nursery() as nursery:
        await nursery.start(it.run, inlet)
        await trio.sleep(1)
        assert (inlet.states, inlet.woken) == (["ready"], [None])
        for _ in range(3):
            await it.deliver(delivery(reply()))
            await trio.sleep(40)
        assert inlet.states == ["ready", "disconnected"]
        table.http.answers[:] = [posted()]
        await it.deliver(delivery(reply()))
        assert (inlet.states, inlet.woken) == (["ready", "disconnected", "connected"], [None, None])
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("error", ["already_reacted", "no_reaction"])
async def test_what_is_the_case_already_counts_as_done(error):
    receipt, _, _ = await sent(reply("👍", type="reaction", target_id="1"), said({"ok": False, "error": error}))
    assert isinstance(receipt, Delivered)


async def test_a_message_that_is_gone_already_is_deleted():
    message = reply("", action="delete", target_id="1.2")
    assert isinstance((await sent(message, said({"ok": False, "error": "message_not_found"})))[0], Delivered)


# -- never twice ---------------------------------------------------------------------------------------------------


async def test_a_repeated_delivery_is_looked_up_and_not_sent_again():
    found = {
        "ts": "5.6",
        "text": "hi",
        "metadata": {"event_type": "oclaw_delivery", "event_payload": {"id": delivery(reply()).id}},
    }
    receipt, calls, _ = await sent(reply(), said({"ok": True, "messages": [{}, found]}), repeated=True)
    assert receipt == Delivered("5.6")
    ((method, asked),) = calls
    assert (method, asked["include_all_metadata"]) == ("conversations.history", "true")


async def test_a_repeated_delivery_that_is_not_found_is_sent():
    receipt, calls, _ = await sent(reply(), NOTHING_THERE, posted(), repeated=True)
    assert isinstance(receipt, Delivered)
    assert [method for method, _ in calls] == ["conversations.history", "chat.postMessage"]


async def test_the_look_turns_pages():
    more = said({"ok": True, "messages": [], "response_metadata": {"next_cursor": "n"}})
    _, calls, _ = await sent(reply(), more, NOTHING_THERE, posted(), repeated=True)
    assert calls[1][1]["cursor"] == "n"


async def test_where_slack_would_not_say_nothing_is_sent():
    receipt, calls, _ = await sent(reply(), answered(503), repeated=True)
    assert isinstance(receipt, Deferred) and len(calls) == 1
    receipt, calls, _ = await sent(reply(), said({"ok": False, "error": "missing_scope"}), repeated=True)
    assert isinstance(receipt, Bounced) and "history" in receipt.why and len(calls) == 1


async def test_a_person_who_sends_it_again_has_looked():
    _, calls, _ = await sent(reply(), repeated=True, replayed=True)
    assert [method for method, _ in calls] == ["chat.postMessage"]


async def test_without_looking_up_the_channel_does_not_claim_that_repeating_is_harmless():
    table = bench(posted())
    assert channel(table.kit).traits.idempotent
    assert not channel(table.kit, look_up=False).traits.idempotent


@pytest.mark.parametrize(
    "doubt", [answered(500), UnknownAfterSend("broke"), said({"ok": False, "error": "fatal_error"})]
)
async def test_after_an_answer_that_refuses_nothing_the_next_attempt_looks_first(doubt):
    table = bench(doubt, NOTHING_THERE, posted())
    it = channel(table.kit)
    for attempt in (1, 2):
        await it.deliver(delivery(reply(), attempt=attempt))
    assert [each.url.rpartition("/")[2] for each in table.http.sent] == [
        "chat.postMessage", "conversations.history", "chat.postMessage",
    ]  # fmt: skip


async def test_after_a_clear_refusal_nobody_looks():
    table = bench(answered(429, retry_after="0"), posted())
    it = channel(table.kit)
    for attempt in (1, 2):
        await it.deliver(delivery(reply(), attempt=attempt))
    assert [each.url.rpartition("/")[2] for each in table.http.sent] == ["chat.postMessage"] * 2


# -- pace ----------------------------------------------------------------------------------------------------------


async def test_a_conversation_gets_a_burst_and_then_one_message_a_second(autojump_clock):
    table, times = bench(posted()), []
    it = channel(table.kit)
    for _ in range(6):
        await it.deliver(delivery(reply()))
        times.append(trio.current_time())
    assert [round(each) for each in times] == [0, 0, 0, 1, 2, 3]


async def test_a_retry_after_holds_its_conversation_and_no_other(autojump_clock):
    table = bench(said({"ok": False, "error": "ratelimited"}, status=429, Retry_After="30"), posted())
    it = channel(table.kit)
    await it.deliver(delivery(reply()))
    held = await it.deliver(delivery(reply()))
    assert isinstance(held, Deferred) and held.after_seconds == pytest.approx(30, abs=1)
    elsewhere = replace(reply(), conversation=Conversation("C2"))
    assert isinstance(await it.deliver(delivery(elsewhere)), Delivered)


# -- to a person, where no conversation is named --------------------------------------------------------------------

OPENED = said({"ok": True, "channel": {"id": "D0ANN00001"}})


def to_ann(text="hi", **fields):
    return replace(reply(text, **fields), conversation=Conversation("U0ANN00001", "direct"))


async def test_a_reply_to_a_persons_id_goes_into_the_conversation_with_them_which_is_opened_once():
    table = bench(OPENED, posted())
    it = channel(table.kit)
    for index in range(2):
        assert isinstance(await it.deliver(delivery(to_ann(), index=index)), Delivered)
    assert [(each.url.rpartition("/")[2], _body(each).get("channel")) for each in table.http.sent] == [
        ("conversations.open", None), ("chat.postMessage", "D0ANN00001"), ("chat.postMessage", "D0ANN00001"),
    ]  # fmt: skip
    assert _body(table.http.sent[0]) == {"users": "U0ANN00001"}


async def test_after_a_restart_a_reply_to_a_persons_id_is_looked_for_in_the_conversation_with_them():
    receipt, calls, _ = await sent(to_ann(), OPENED, NOTHING_THERE, posted(), repeated=True)
    assert isinstance(receipt, Delivered)
    assert [(method, body.get("channel")) for method, body in calls[1:]] == [
        ("conversations.history", "D0ANN00001"), ("chat.postMessage", "D0ANN00001"),
    ]  # fmt: skip


@pytest.mark.parametrize("word", ["missing_scope", "user_disabled"])
async def test_where_slack_opens_no_conversation_the_message_goes_to_the_id_and_a_look_says_what_is_missing(word):
    shut = said({"ok": False, "error": word})
    receipt, calls, _ = await sent(to_ann(), shut, posted())
    assert isinstance(receipt, Delivered) and calls[1][1]["channel"] == "U0ANN00001"
    receipt, calls, _ = await sent(to_ann(), shut, said({"ok": False, "error": "channel_not_found"}), repeated=True)
    assert isinstance(receipt, Bounced) and "im:write" in receipt.why and len(calls) == 2


@pytest.mark.parametrize(
    "trouble, offline",
    [
        (UnknownAfterSend("broke"), False),
        (said({"ok": False, "error": "internal_error"}), False),
        (said({"ok": False, "error": "ratelimited"}, status=429, Retry_After="30"), False),
        (said({"ok": False, "error": "token_revoked"}), True),
    ],
)
async def test_a_conversation_that_cannot_be_opened_now_leaves_no_doubt_and_is_tried_again(trouble, offline):
    receipt, calls, _ = await sent(to_ann(), trouble)
    assert isinstance(receipt, Deferred) and receipt.offline is offline and len(calls) == 1


async def test_more_people_than_slack_opens_at_once_wait_uncounted(autojump_clock):
    table = bench(said({"ok": False, "error": "ratelimited"}, status=429, Retry_After="30"), OPENED)
    it = channel(table.kit)
    assert isinstance(await it.deliver(delivery(to_ann())), Deferred)
    held = await it.deliver(delivery(to_ann()))
    assert isinstance(held, Deferred) and held.offline and len(table.http.sent) == 1


async def test_a_reply_to_a_persons_id_is_streamed_in_the_conversation_with_them(autojump_clock):
    table = bench(OPENED, posted("5.6"))
    assert await channel(table.kit).stream(delivery(to_ann("")), pieces(*"abcd")) == Delivered("5.6")
    assert {_body(each).get("channel") for each in table.http.sent[1:]} == {"D0ANN00001"}


# -- slash commands, files, streams --------------------------------------------------------------------------------


async def test_a_command_from_where_the_bot_is_not_is_answered_by_its_own_address():
    way = "https://hooks.slack.com/commands/T1/2/x"
    outside = said({"ok": False, "error": "not_in_channel"})
    receipt, calls, table = await sent(reply("hi", metadata={"response_url": way}), outside, answered(200))
    assert isinstance(receipt, Delivered)
    assert table.http.sent[1].url == way and calls[1][1] == {"response_type": "in_channel", "text": "hi"}
    assert "authorization" not in table.http.sent[1].headers
    evil = reply("hi", metadata={"response_url": "https://hooks.slack.com.evil.example/x"})
    receipt, calls, _ = await sent(evil, outside)
    assert isinstance(receipt, Bounced) and len(calls) == 1


async def test_a_command_whose_walk_was_repeated_is_answered_also_where_the_bot_may_not_look():
    outside = said({"ok": False, "error": "not_in_channel"})
    command = reply("hi", metadata={"response_url": "https://hooks.slack.com/commands/T1/2/x"})
    receipt, calls, _ = await sent(command, outside, outside, answered(200), repeated=True)
    assert isinstance(receipt, Delivered)
    assert [method for method, _ in calls] == ["conversations.history", "chat.postMessage", "x"]
    receipt, calls, _ = await sent(reply("hi"), outside, repeated=True)
    assert isinstance(receipt, Bounced) and "must be a member" in receipt.why and len(calls) == 1


async def test_an_answer_to_a_command_that_is_known_to_be_in_doubt_is_left_to_a_person():
    outside = said({"ok": False, "error": "channel_not_found"})
    command = reply("hi", metadata={"response_url": "https://hooks.slack.com/commands/T1/2/x"})
    table = bench(outside, UnknownAfterSend("reset"), outside)
    it = channel(table.kit)
    assert isinstance(await it.deliver(delivery(command)), Unknown)
    receipt = await it.deliver(delivery(command, repeated=True))
    assert isinstance(receipt, Bounced) and "Nobody knows" in receipt.why and len(table.http.sent) == 3


async def test_a_conversation_is_not_disabled_for_good_by_an_answer_that_says_gone():
    outside = said({"ok": False, "error": "channel_not_found"})
    way = "https://hooks.slack.com/commands/T1/2/x"
    receipt, _, _ = await sent(reply("hi", metadata={"response_url": way}), outside, answered(410))
    assert isinstance(receipt, Bounced) and not receipt.disable


class Shelf:
    """A store that holds one file."""

    async def size(self, ref):
        return 3

    def open(self, ref):
        async def pieces():
            yield b"PNG"

        return pieces()


async def test_a_file_is_uploaded_in_three_steps_and_shared_with_the_text():
    address = said({"ok": True, "upload_url": "https://files.slack.com/upload/v1/x", "file_id": "F1"})
    table = bench(address, answered(200), said({"ok": True, "files": [{"id": "F1"}]}))
    kit = replace(table.kit, media=Shelf())
    it = SlackChannel("it", settings(), kit)
    picture = Attachment("image", "image/png", "cat.png", 3, ref="r1")
    receipt = await it.deliver(delivery(reply("look", attachments=(picture,))))
    assert isinstance(receipt, Delivered)
    asked, put, shared = [_body(each) for each in table.http.sent]
    assert asked == {"filename": "cat.png", "length": "3"} and put.length == 3
    assert shared == {"files": [{"id": "F1", "title": "cat.png"}], "channel_id": ROOM, "initial_comment": "look"}
    assert "authorization" not in table.http.sent[1].headers


async def test_a_file_is_not_sent_to_a_host_that_is_not_on_the_list():
    table = bench(said({"ok": True, "upload_url": "https://evil.example/x", "file_id": "F1"}))
    it = channel(replace(table.kit, media=Shelf()))
    receipt = await it.deliver(delivery(reply("", attachments=(Attachment(name="a", ref="r"),))))
    assert isinstance(receipt, Bounced) and len(table.http.sent) == 1


async def test_a_shared_file_is_known_again_by_its_name():
    picture = Attachment("image", "image/png", "cat.png", 3, ref="r1")
    theirs = {"ts": "1.1", "user": "U9", "files": [{"title": "cat.png"}]}
    ours = {"ts": "2.2", "user": BOT, "files": [{"title": "cat.png"}]}
    history = said({"ok": True, "messages": [theirs, ours]})
    receipt, _, _ = await sent(reply("look", attachments=(picture,)), history, repeated=True)
    assert receipt == Delivered("2.2")


async def test_a_file_known_only_by_address_is_shown_as_a_link():
    _, calls, _ = await sent(reply("see", attachments=(Attachment(name="it", url="https://x.y/z"),)))
    assert calls[0][1]["text"] == "see\n<https://x.y/z|it>"


async def pieces(*texts, every=0.4):
    for text in texts:
        yield text
        await trio.sleep(every)


async def test_a_stream_is_posted_once_and_edited_until_it_is_whole(autojump_clock):
    table = bench(posted("5.6"))
    receipt = await channel(table.kit).stream(delivery(reply("")), pieces(*"abcdefgh"))
    calls = [(each.url.rpartition("/")[2], _body(each)["text"]) for each in table.http.sent]
    assert receipt == Delivered("5.6")
    assert calls[0][0] == "chat.postMessage" and {method for method, _ in calls[1:]} == {"chat.update"}
    assert calls[-1] == ("chat.update", "abcdefgh")
    assert len(calls) <= 5


async def test_an_answer_by_a_commands_own_address_or_to_a_person_whose_conversation_stays_shut_is_not_streamed(
    autojump_clock,
):
    table = bench(said({"ok": False, "error": "missing_scope"}))
    message = reply("", metadata={"response_url": "https://hooks.slack.com/commands/T1/2/x"})
    for declined in (message, to_ann("")):
        unread = pieces("a", "b")
        assert isinstance(await channel(table.kit).stream(delivery(declined), unread), Deferred)
        # Else the outbox would believe that it may stand there in part, and look where the bot is no member.
        assert await anext(unread) == "a"
        await unread.aclose()
    assert [each.url.rpartition("/")[2] for each in table.http.sent] == ["conversations.open"]


async def test_a_look_that_comes_too_often_is_put_off_as_long_as_slack_asks():
    receipt, _, _ = await sent(reply(), said({"ok": False}, status=429, Retry_After="30"), repeated=True)
    assert isinstance(receipt, Deferred) and receipt.after_seconds == 30


async def test_what_must_be_looked_for_after_a_start_is_looked_for_as_fast_as_slack_answers(autojump_clock):
    slower = said({"ok": False, "error": "ratelimited"}, status=429, Retry_After="30")
    table = bench(slower, NOTHING_THERE)
    it = channel(table.kit, message_seconds=0)
    receipts = []

    async def deliver(number):
        receipts.append(await it.deliver(delivery(reply(), index=number, repeated=True)))

    await deliver(0)
    assert not receipts[0].offline
    async with trio.open_nursery() as nursery:
        for number in range(1, 40):
            nursery.start_soon(deliver, number)
    assert {each.offline for each in receipts[1:]} == {True} and len(table.http.sent) == 1


async def test_while_slack_is_away_a_look_is_no_attempt_and_waits_with_the_others():
    receipt, _, _ = await sent(reply(), NothingSent("no route"), repeated=True, mode="socket")
    assert isinstance(receipt, Deferred) and receipt.offline


async def test_an_upload_is_put_off_as_slack_asks_and_is_no_attempt_while_it_is_away():
    picture = reply("look", attachments=(Attachment("image", "image/png", "cat.png", 3, ref="r1"),))
    slower = channel(replace(bench(said({"ok": False}, status=429, Retry_After="30")).kit, media=Shelf()))
    receipt = await slower.deliver(delivery(picture))
    assert isinstance(receipt, Deferred) and receipt.after_seconds == 30
    away = channel(replace(bench(NothingSent("no route")).kit, media=Shelf()), mode="socket")
    receipt = await away.deliver(delivery(picture))
    assert isinstance(receipt, Deferred) and receipt.offline


async def test_a_stream_that_began_in_an_earlier_life_goes_on_in_its_message(autojump_clock):
    began = {"ts": "5.6", "metadata": {"event_type": "oclaw_delivery", "event_payload": {"id": delivery(reply()).id}}}
    table = bench(said({"ok": True, "messages": [began]}), posted("5.6"))
    receipt = await channel(table.kit).stream(delivery(reply(""), repeated=True), pieces("ab"))
    assert receipt == Delivered("5.6")
    assert {each.url.rpartition("/")[2] for each in table.http.sent} == {"conversations.history", "chat.update"}


async def test_a_stream_whose_first_post_is_in_doubt_is_left_to_the_outbox_which_looks_first(autojump_clock):
    began = {"ts": "5.6", "metadata": {"event_type": "oclaw_delivery", "event_payload": {"id": delivery(reply()).id}}}
    table = bench(UnknownAfterSend("broke"), said({"ok": True, "messages": [began]}), posted("5.6"))
    it = channel(table.kit)
    assert isinstance(await it.stream(delivery(reply("")), pieces("a", "b")), Unknown)
    assert await it.deliver(delivery(reply("ab"))) == Delivered("5.6")
    assert [each.url.rpartition("/")[2] for each in table.http.sent] == [
        "chat.postMessage", "conversations.history", "chat.update",
    ]  # fmt: skip


async def test_without_looking_up_a_doubtful_delivery_is_for_a_person():
    table = bench(answered(500), posted())
    it = channel(table.kit, look_up=False)
    receipts = [await it.deliver(delivery(reply(), attempt=attempt)) for attempt in (1, 2)]
    assert isinstance(receipts[1], Unknown) and len(table.http.sent) == 1


async def test_what_is_found_in_part_is_made_whole(autojump_clock):
    began = {
        "ts": "5.6",
        "text": "a …",
        "metadata": {"event_type": "oclaw_delivery", "event_payload": {"id": delivery(reply()).id}},
    }
    history = said({"ok": True, "messages": [began]})
    receipt, calls, _ = await sent(reply("a b"), history, posted("5.6"), repeated=True)
    assert receipt == Delivered("5.6")
    assert calls[1] == ("chat.update", {"channel": ROOM, "ts": "5.6", "text": "a b"})


async def test_what_a_stream_began_is_finished_by_the_outbox_as_an_edit(autojump_clock):
    table = bench(posted("5.6"), said({"ok": False, "error": "cant_update_message"}), posted("5.6"))
    it = channel(table.kit)
    await it.stream(delivery(reply("")), pieces("a", "b", "c"))
    await it.deliver(delivery(reply("abc")))
    assert table.http.sent[-1].url.endswith("chat.update")


async def test_a_long_stream_that_the_outbox_has_to_finish_stands_there_once(autojump_clock):
    slower = said({"ok": False, "error": "ratelimited"}, status=429, Retry_After="30")
    table = bench(posted("5.1"), posted("5.2"), slower, posted("5.1"))
    it = channel(table.kit, text_limit=100)
    first, second = "a" * 90, "b" * 50
    receipt = await it.stream(delivery(reply("")), pieces(f"{first} {second[:20]}", second[20:], every=3))
    assert isinstance(receipt, Deferred)
    await trio.sleep(40)
    for index, text in enumerate((first, second)):
        again = delivery(reply(text), index=index, repeated=True)
        assert isinstance(await it.deliver(again), Delivered)
    calls = [(each.url.rpartition("/")[2], _body(each).get("ts")) for each in table.http.sent]
    assert [method for method, _ in calls].count("chat.postMessage") == 2
    assert calls[-2:] == [("chat.update", "5.1"), ("chat.update", "5.2")]


async def test_what_follows_a_long_stream_is_a_message_of_its_own(autojump_clock):
    table = bench(posted("5.1"), posted("5.2"), posted("5.3"))
    it = channel(table.kit, text_limit=100)
    text = " ".join(["word"] * 30)
    assert isinstance(await it.stream(delivery(reply("")), pieces(text)), Delivered)
    table.http.answers[:] = [posted("5.4")]
    assert await it.deliver(delivery(reply("next"), index=1)) == Delivered("5.4")
    assert table.http.sent[-1].url.endswith("chat.postMessage")


async def test_a_reply_elsewhere_is_not_taken_for_the_stream_that_bears_its_number(autojump_clock):
    table = bench(posted("5.1"))
    it = channel(table.kit)
    with pytest.raises(ModelError):
        await it.stream(delivery(reply("")), pieces_that_break())
    table.http.answers[:] = [NOTHING_THERE, posted("5.4")]
    forward = replace(reply("see there"), conversation=Conversation("C0DUTY", "channel"))
    assert await it.deliver(delivery(forward, repeated=True)) == Delivered("5.4")


async def pieces_that_break():
    yield "half"
    await trio.sleep(3)
    raise ModelError("gone", passing=True)
