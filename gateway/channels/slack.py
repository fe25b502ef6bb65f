"""Slack: events by signed webhook or through Socket Mode in, Web API out.

One message model for both ways in; replies in the thread they belong to, streamed by editing, never sent twice. What
Slack tells of our own messages, or of other programs', is dropped by id.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import trio
from msgspec.structs import replace

from gateway.channels.shared.calls import refusal
from gateway.channels.shared.edits import stream_by_edits
from gateway.channels.shared.loops import LoopGuard
from gateway.channels.shared.media import MediaDoor
from gateway.channels.shared.pace import Pace, Rate
from gateway.channels.shared.reconnect import keep_connected
from gateway.channels.slack_api import WebApi
from gateway.channels.slack_catchup import CURSOR, CatchUp
from gateway.channels.slack_checkup import checkup
from gateway.channels.slack_entrance import Entrance
from gateway.channels.slack_events import Account
from gateway.channels.slack_fields import table, text
from gateway.channels.slack_files import Files, Turn, Turns
from gateway.channels.slack_identity import Identity
from gateway.channels.slack_manifest import scaffold
from gateway.channels.slack_people import is_person
from gateway.channels.slack_sending import Sending
from gateway.channels.slack_settings import Settings
from gateway.channels.slack_socket import SocketMode
from gateway.channels.slack_text import TOKENS, cut
from gateway.channels.slack_uploads import Uploads
from gateway.channels.slack_webhook import Calls
from gateway.errors import ModelError, SealError, SettingError
from gateway.message.envelope import Delivery
from gateway.message.message import Message
from gateway.message.receipt import Deferred, Delivered, Receipt
from gateway.notices import EnvelopeRefused
from gateway.ports import Arrived, Finding, Inlet, Kit, Traits
from protocols.http1.messages import Request, Response
from protocols.problem import problem

PLATFORM = "slack"
__all__ = ("PLATFORM", "Settings", "SlackChannel", "build", "scaffold")
# What a reply must know of a slash command: the way to a conversation that the bot is not in.
_KEPT = ("response_url",)


class SlackChannel:
    """One app in one workspace."""

    platform = PLATFORM

    def __init__(self, name: str, settings: Settings, kit: Kit, door: MediaDoor | None = None) -> None:
        self.name = name
        self._settings, self._kit = settings, kit
        self.traits = Traits(
            text_limit=settings.text_limit,
            tokens=TOKENS,
            # By looking the delivery's id up before anything is sent again.
            idempotent=settings.look_up,
            can_edit=True,
            can_stream=settings.stream,
            can_react=True,
            has_threads=True,
            takes_media=True,
            sends_at_once=16,
        )
        token = settings.bot_token.reveal()
        self._socket = self._socket_mode() if settings.mode == "socket" else None
        self._api = WebApi(kit, settings.base_url, token, offline=self._is_away, away=self._api_away)
        guard = LoopGuard(answer_bots=settings.answer_bots)
        self._entrance = Entrance(Account(name, PLATFORM, in_threads=settings.reply_in_thread), guard, kit.report)
        self._door = door or MediaDoor(
            kit.media, hosts=settings.file_hosts, max_bytes=settings.file_bytes, networks=settings.private_networks
        )
        self._files = Files(
            self._api, self._door, token, seconds=settings.file_seconds, channel=name, report=kit.report
        )
        self._turns = Turns()
        self._identity = Identity(self._api, self._entrance, place=f"channels.{name}.bot_token")
        uploads = Uploads(self._api, self._door, kit)
        # After a start everything that waited is looked for at once, and Slack answers fifty such questions a minute.
        questions = Pace(all=Rate(1.2, 20))
        self._sending = Sending(self._api, uploads, settings, guard, self._identity.refused, questions=questions)
        self._catch_up = CatchUp(
            self._entrance,
            self._api,
            questions,
            self._turns,
            known=self._identity.known,
            report=kit.report,
            now=kit.now,
        )
        self._calls = self._webhook() if settings.mode == "events" else None
        self._inlet: Inlet | None = None

    # -- in ---------------------------------------------------------------------------------------

    async def run(self, inlet: Inlet, *, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        """Learn who we are, hold the sockets if that is the mode, and end as failed when the token is refused."""
        self._inlet = inlet
        wrong: BaseExceptionGroup[Any] | None = None
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._identity.fail_when_refused)
                if self._socket is not None:
                    self._catch_up.restore(await inlet.cursor(CURSOR))
                    nursery.start_soon(self._catch_up.run, self._admit)
                    nursery.start_soon(self._identity.learn, None)
                    session = partial(self._socket.session, commits=nursery)
                    await keep_connected(session, inlet, task_status=task_status)
                else:
                    task_status.started()
                    await self._identity.learn(inlet)
                    await trio.sleep_forever()
        except* SettingError as group:
            wrong = group
        finally:
            self._inlet = None
        if wrong is not None:
            raise _first(wrong)

    def receive(self, request: Request, now: float) -> Arrived | Response | Awaitable[Arrived | Response]:
        """Verify, decode and normalise one request of Slack's."""
        if self._calls is None:
            return problem(404, "This channel uses Socket Mode; nothing is sent here.")
        came = self._calls.receive(request, now)
        if isinstance(came, Response) or not self._must_wait(came.messages):
            return came
        return self._later(came, self._turns.take(came.messages[0].conversation.id))

    async def _later(self, came: Arrived, turn: Turn) -> Arrived:
        """Wait for the post's turn and files. The caller offers it without a checkpoint in between: order holds."""
        with turn:
            messages = tuple([await self._files.fetched(each) for each in came.messages])
            await turn.comes()
            return replace(came, messages=messages)

    def _must_wait(self, messages: Sequence[Message]) -> bool:
        return bool(messages) and (self._files.wanted(messages) or self._turns.busy(messages[0].conversation.id))

    def _take(self, envelope: dict[str, Any]) -> Callable[[], Awaitable[bool]]:
        """Take an envelope of a socket; its place in the order is taken now, its commit comes with the await."""
        payload, kind = table(envelope, "payload"), text(envelope, "type")
        if "retry_attempt" in envelope:
            payload |= {"retry_num": envelope["retry_attempt"], "retry_reason": text(envelope, "retry_reason")}
        match kind:
            case "events_api":
                messages = self._entrance.event(payload)
            case "slash_commands":
                messages = self._entrance.command(payload)
            case "interactive":
                messages = self._entrance.interaction(payload)
            case _:
                messages = self._entrance.other(kind)
        if not messages:
            return _nothing_to_commit
        return partial(self._commit, messages, self._turns.take(messages[0].conversation.id))

    async def _commit(self, messages: tuple[Message, ...], turn: Turn) -> bool:
        with turn:
            if self._files.wanted(messages):
                messages = tuple([await self._files.fetched(each) for each in messages])
            await turn.comes()
            await self._catch_up.before(messages[0].conversation, self._admit)
            return await self._accept(messages)

    async def _admit(self, message: Message) -> bool:
        """Take a message that is read in its conversation."""
        return await self._accept((await self._files.fetched(message) if self._files.wanted((message,)) else message,))

    async def _accept(self, messages: tuple[Message, ...]) -> bool:
        if self._inlet is None:
            return False
        try:
            if refusal(await self._inlet.accept(messages, self._catch_up.cursor(messages))) is not None:
                return False
        except SealError as error:
            # It would not fit the next time either.
            self._kit.report(EnvelopeRefused(self.name, "bad_field", str(error)))
        self._catch_up.heard(messages)
        return True

    # -- out --------------------------------------------------------------------------------------

    async def deliver(self, delivery: Delivery) -> Receipt:
        """Make one attempt."""
        placed = await self._sending.placed(delivery)
        return await self._sending.deliver(placed) if isinstance(placed, Delivery) else placed

    async def stream(self, delivery: Delivery, pieces: AsyncIterator[str]) -> Receipt:
        """Post the beginning and replace it until the model has ended."""
        sending, placed = self._sending, await self._sending.placed(delivery)
        if not isinstance(placed, Delivery):
            return placed
        delivery, place = placed, placed.message.conversation
        if delivery.message.metadata.get("response_url") or is_person(place.id):
            # What is posted by that address has no ts, and chat.update knows no conversation by a person's id: neither
            # can be edited. Left unread, it counts as never shown, and nobody looks there for an earlier attempt: where
            # the bot is no member it could not be looked for.
            return Deferred("An answer that cannot be edited is sent when it is whole.", 0.0)
        again = True  # the outbox may have to send it all, as when this is cancelled
        try:
            receipt = await stream_by_edits(
                pieces,
                partial(sending.post_streamed, delivery),
                partial(sending.edit, place),
                cut=self._cut,
                every_seconds=self._settings.edit_seconds,
            )
            again = not isinstance(receipt, Delivered)
        except ModelError:
            again = False
            raise
        finally:
            sending.ended(delivery, again=again)
        return receipt

    def cut(self, reply: Message) -> Sequence[str]:
        """Cut a reply so that every piece fits as Slack counts it: escaped, and with its tokens."""
        return self._cut(reply.content)

    def circuit_of(self, delivery: Delivery) -> str:
        """A conversation that Slack wants less of, or breaks on, says nothing about the others."""
        return delivery.message.conversation.id

    def address_of(self, message: Message) -> dict[str, Any]:
        """Keep what only the inbound message knows."""
        return {key: message.metadata[key] for key in _KEPT if key in message.metadata}

    async def doctor(self, tell: Callable[[Finding], None]) -> None:
        """Try the tokens, the scopes and the connection."""
        await checkup(self._api, self._socket, self._settings, tell)

    def _cut(self, text: str) -> tuple[str, ...]:
        return cut(text, self._settings.text_limit, self._settings.format)

    # -- parts ------------------------------------------------------------------------------------

    def _webhook(self) -> Calls:
        settings = self._settings
        assert settings.signing_secret is not None  # checked with the settings
        return Calls(
            self.name,
            self._entrance,
            settings.signing_secret.reveal().encode(),
            tolerance_seconds=settings.tolerance_seconds,
            body_bytes=settings.body_bytes,
            report=self._kit.report,
        )

    def _stands_again(self) -> None:
        self._catch_up.doubt()

    def _is_away(self) -> bool:
        return self._socket is not None and not self._socket.stands

    def _api_away(self, why: str) -> None:
        """Say so in `status`, and wake what waited when it is over; a socket that does not stand tells by itself."""
        if self._inlet is None:
            return
        if why:
            self._inlet.connected("disconnected", f"Slack's Web API is not reached: {why}")
            return
        if not self._is_away():
            self._inlet.connected("connected", "the Web API is reached again")
        self._inlet.wake()

    def _socket_mode(self) -> SocketMode:
        settings = self._settings
        assert settings.app_token is not None  # checked with the settings
        api = WebApi(self._kit, settings.base_url, settings.app_token.reveal())
        place = f"channels.{self.name}.app_token"
        left = partial(self._kit.report, EnvelopeRefused(self.name, "full", "Slack says an event again"))
        return SocketMode(
            api, self._take, place=place, ping_seconds=settings.ping_seconds, left=left, gap=self._stands_again
        )


def build(name: str, settings: Settings, kit: Kit) -> SlackChannel:
    """Make the channel; raises `SettingError` for a secret that was not supplied."""
    return SlackChannel(name, settings, kit)


async def _nothing_to_commit() -> bool:
    await trio.lowlevel.checkpoint()
    return True


def _first(group: BaseExceptionGroup[Any]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
