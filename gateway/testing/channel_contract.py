"""What every channel must do: import the checks, describe your channel once, run them all.

    CASE = ChannelCase(build=lambda kit: MyChannel("it", MySettings(), kit), knock=my_request, ...)

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    async def test_contract(check):
        await check(CASE)

A check that does not concern a channel (it has no webhook, it does not send by HTTP) passes at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any

import msgspec
import trio
from msgspec import Struct
from msgspec.structs import replace

from gateway.errors import SettingError, SettingErrors
from gateway.message.chunking import chunk, size
from gateway.message.message import Conversation, Message
from gateway.message.receipt import Bounced, Deferred, Delivered, Receipt, Unknown, Unsent
from gateway.ports import Accepted, Arrived, Duplicate, Kit
from gateway.testing.channels import MOMENT, Answered, answered, bench, delivery
from protocols.errors import NothingSent, UnknownAfterSend
from protocols.http1.headers import Headers
from protocols.http1.messages import Request, Response

GARBAGE = (b"", b"{", b"[]", b"null", b"\xff\xfe", b"{}", b'{"a":' * 2000, b"a=b&a=c", b"<a/>")


class ChannelCase(Struct, frozen=True, kw_only=True):
    """One channel, described for the checks.

    `knock(event, text)` makes a genuine request at `MOMENT`; one event twice is a redelivery. `own` is a request
    that tells of a message of the channel's own. `reply` is a message that can be delivered; `sends` says that it
    travels by the kit's HTTP client. `bad_settings` are calls that must raise `SettingError` or `SettingErrors`.
    """

    build: Callable[[Kit], Any]
    knock: Callable[[str, str], Request] | None = None
    own: Request | None = None
    guarded: bool = True
    reply: Message = Message(channel="it", content="hi", conversation=Conversation("c1"))
    sends: bool = True
    bad_settings: tuple[Callable[[], Any], ...] = ()


async def a_redelivery_has_the_same_dedupe_key(case: ChannelCase) -> None:
    """Else an event that the platform repeats would be answered twice."""
    if case.knock is not None:
        it = case.build(bench().kit)
        first, again, other = [await _messages(it, case.knock(event, "x")) for event in ("e1", "e1", "e2")]
        assert first and all(message.dedupe_key for message in first)
        assert [message.dedupe_key for message in first] == [message.dedupe_key for message in again]
        assert {message.dedupe_key for message in first}.isdisjoint(message.dedupe_key for message in other)


async def nothing_is_acknowledged_before_the_commit(case: ChannelCase) -> None:
    """A message gives no response of its own; after the commit it is a good one, also for a repetition."""
    if case.knock is not None:
        arrived = await _received(case.build(bench().kit), case.knock("e1", "x"))
        assert isinstance(arrived, Arrived) and arrived.messages
        for acceptance in (Accepted("id"), Duplicate("id")):
            response = arrived.answer([acceptance] * len(arrived.messages))
            assert 200 <= response.status < 300


async def what_is_said_arrives_as_it_was_said(case: ChannelCase) -> None:
    """The text is whole and in NFC; the message names its channel, platform, sender and conversation."""
    if case.knock is not None:
        it = case.build(bench().kit)
        (message,) = await _messages(it, case.knock("e1", "e\u0301 < & 漢字 🎉"))
        assert message.content == "\u00e9 < & 漢字 🎉"
        assert (message.channel, message.platform) == (it.name, it.platform)
        assert message.sender.id and message.conversation.id


async def a_changed_request_is_refused(case: ChannelCase) -> None:
    """One byte more in the body, and nobody believes it."""
    if case.knock is not None and case.guarded:
        request = case.knock("e1", "x")
        got = await _received(case.build(bench().kit), replace(request, body=request.body + b" "))
        assert isinstance(got, Response) and got.status in (401, 403)


async def a_request_without_its_proof_is_refused(case: ChannelCase) -> None:
    """Without the platform's headers nothing is taken."""
    if case.knock is not None and case.guarded:
        request = replace(case.knock("e1", "x"), headers=Headers.of((("Content-Type", "application/json"),)))
        got = await _received(case.build(bench().kit), request)
        assert isinstance(got, Response) and got.status in (401, 403)


async def garbage_is_refused_without_raising(case: ChannelCase) -> None:
    """Whatever comes over the network is answered."""
    if case.knock is not None:
        it, request = case.build(bench().kit), case.knock("e1", "x")
        for body in GARBAGE:
            got = await _received(it, replace(request, body=body))
            assert isinstance(got, Response | Arrived)


async def own_messages_are_dropped(case: ChannelCase) -> None:
    """A channel that hears itself would answer itself for ever."""
    if case.own is not None:
        got = await _received(case.build(bench().kit), case.own)
        assert isinstance(got, Response) or not got.messages


async def what_a_reply_needs_can_be_stored(case: ChannelCase) -> None:
    """`address_of` gives plain values: they lie sealed in the journal until the reply is made."""
    if case.knock is not None:
        it = case.build(bench().kit)
        for message in await _messages(it, case.knock("e1", "x")):
            address = it.address_of(message)
            assert msgspec.msgpack.decode(msgspec.msgpack.encode(address)) == address


async def an_answer_of_the_platform_becomes_the_right_receipt(case: ChannelCase) -> None:
    """Arrived, later, never, or nobody knows: the outbox acts on nothing else."""
    if case.sends:
        later = await _receipt(case, answered(429, retry_after="7"))
        assert isinstance(later, Deferred) and later.after_seconds is not None and later.after_seconds >= 7
        assert isinstance(await _receipt(case, answered(500)), Deferred)
        assert isinstance(await _receipt(case, answered(503)), Deferred)
        assert isinstance(await _receipt(case, answered(400)), Bounced)
        away = await _receipt(case, NothingSent("the connection was refused"))
        assert isinstance(away, Unsent) or (isinstance(away, Deferred) and away.offline)
        assert isinstance(await _receipt(case, UnknownAfterSend("the connection broke")), Unknown)


async def a_redirect_is_not_followed(case: ChannelCase) -> None:
    """It would lead credentials and messages to an address nobody configured."""
    if case.sends:
        table = bench(answered(302, location="http://169.254.169.254/"))
        receipt = await case.build(table.kit).deliver(delivery(case.reply))
        assert not isinstance(receipt, Delivered)
        assert len(table.http.sent) == 1


async def an_idempotent_channel_sends_the_same_key_at_every_attempt(case: ChannelCase) -> None:
    """Else its `traits` promise that a repetition does no harm, and it does."""
    table = bench(answered(503))
    it = case.build(table.kit)
    if case.sends and it.traits.idempotent:
        for attempt in (1, 2):
            await it.deliver(delivery(case.reply, attempt=attempt))
        first, second = table.http.sent
        same = {name for name, value in first.headers.items() if second.headers.get(name) == value}
        assert first.body == second.body
        named = any("id" in name or "idempotency" in name for name in same) or b"id" in first.body
        assert named or (first.url == second.url and delivery(case.reply).id in first.url)


async def a_long_reply_is_cut_within_the_limit_and_nothing_is_lost(case: ChannelCase) -> None:
    """By the traits, or by the channel itself where the limit depends on where it goes; no word is parted or lost."""
    await trio.lowlevel.checkpoint()
    channel = case.build(bench().kit)
    words = [f"wörd{number}🎉" for number in range(5000)]
    reply = replace(case.reply, content=" ".join(words), metadata={})
    traits, cut = channel.traits, getattr(channel, "cut", None)
    pieces = cut(reply) if cut else chunk(reply.content, traits.text_limit, traits.text_unit)
    assert " ".join(pieces).split() == words
    if traits.text_limit and not cut:
        assert all(size(piece, traits.text_unit) <= traits.text_limit for piece in pieces)


async def typing_is_there_when_the_traits_say_so(case: ChannelCase) -> None:
    """Traits and methods agree: what can be shown is shown, what can be streamed is streamed."""
    await trio.lowlevel.checkpoint()
    channel = case.build(bench().kit)
    assert not channel.traits.typing_seconds or callable(getattr(channel, "typing", None))
    assert not channel.traits.can_stream or callable(getattr(channel, "stream", None))


async def bad_settings_are_named(case: ChannelCase) -> None:
    """A wrong setting is told by its place, what was found and what is wanted, before anything runs."""
    await trio.lowlevel.checkpoint()
    for make in case.bad_settings:
        try:
            make()
        except (SettingError, SettingErrors) as error:
            problems = error.problems if isinstance(error, SettingErrors) else [error]
            assert all(problem.place and problem.wanted for problem in problems)
        else:
            raise AssertionError("settings that cannot work were taken")


CHECKS: tuple[Callable[[ChannelCase], Awaitable[None]], ...] = (
    a_redelivery_has_the_same_dedupe_key,
    nothing_is_acknowledged_before_the_commit,
    what_is_said_arrives_as_it_was_said,
    a_changed_request_is_refused,
    a_request_without_its_proof_is_refused,
    garbage_is_refused_without_raising,
    own_messages_are_dropped,
    what_a_reply_needs_can_be_stored,
    an_answer_of_the_platform_becomes_the_right_receipt,
    a_redirect_is_not_followed,
    an_idempotent_channel_sends_the_same_key_at_every_attempt,
    a_long_reply_is_cut_within_the_limit_and_nothing_is_lost,
    typing_is_there_when_the_traits_say_so,
    bad_settings_are_named,
)


async def _received(channel: Any, request: Request) -> Any:
    came = channel.receive(request, MOMENT)
    return await came if isawaitable(came) else came


async def _messages(channel: Any, request: Request) -> tuple[Message, ...]:
    came = await _received(channel, request)
    assert isinstance(came, Arrived), came
    return came.messages


async def _receipt(case: ChannelCase, answer: Answered | Exception) -> Receipt:
    receipt: Receipt = await case.build(bench(answer).kit).deliver(delivery(case.reply))
    return receipt
