"""IRC: one connection to one network, under one nick, in its channels and in queries.

A message that mentions us ("oclaw: hello") or comes in a query is for us. IRC gives no ids, repeats nothing and
keeps no history: what is said while we are away nobody can know, and what is read is committed before more
is read. Replies go out line by line, each a delivery of its own, at the pace that servers allow; what a server
has not confirmed when the connection ends is left to a person, since it cannot be sent again unnoticed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from datetime import datetime
from functools import partial
from typing import Any

import trio

from gateway.channels.irc_lines import Lines, encode, folded, is_word
from gateway.channels.irc_session import (
    Answered,
    Effect,
    Gone,
    Login,
    Moved,
    Ready,
    Refusal,
    Said,
    Send,
    Session,
    Strange,
    Wrong,
)
from gateway.channels.irc_settings import Settings
from gateway.channels.irc_text import action_of, budget, ctcp_of, lines_of, plain, said
from gateway.channels.irc_wire import Wire, dial, tls_context
from gateway.channels.shared.errors import ConnectionLost
from gateway.channels.shared.loops import LoopGuard
from gateway.channels.shared.markup import addressed
from gateway.channels.shared.pace import Pace, Rate
from gateway.channels.shared.pulse import Pulse
from gateway.channels.shared.reconnect import Link, keep_connected, offline
from gateway.errors import SettingError
from gateway.message.envelope import Delivery
from gateway.message.message import Conversation, Message, Sender, nfc
from gateway.message.receipt import Bounced, Deferred, Receipt
from gateway.notices import EventIgnored, UnknownEvent
from gateway.ports import Finding, Inlet, Kit, Refused, Traits

__all__ = ("PLATFORM", "IrcChannel", "Settings", "build")

PLATFORM = "irc"
Dial = Callable[[Settings, str], AbstractAsyncContextManager[trio.abc.Stream]]
_READ_BYTES = 16 * 1024
# Registration with ident and host lookups takes servers up to half a minute.
_READY_SECONDS = 90.0
_TIDY_SECONDS = 60.0
# A line's turn comes after those of the other conversations under way: sends_at_once lines at 2 s each.
_TURN_SECONDS = 15.0


class IrcChannel:
    """One account on one network."""

    platform = PLATFORM
    traits = Traits(text_limit=400, text_unit="bytes", sends_at_once=4)

    def __init__(self, name: str, settings: Settings, kit: Kit, dial: Dial = dial) -> None:
        """`dial` connects; tests give another one."""
        self.name, self._dial = name, dial
        self._settings, self._kit = settings, kit
        self._login = login_of(settings)
        self._guard = LoopGuard(answer_bots=settings.answer_bots)
        self._pace = Pace(all=Rate(settings.seconds_per_line, settings.burst_lines))
        self._wire: Wire | None = None
        self._standing = Session(self._login)
        self._nick, self._nick_was_ours = settings.nick, False
        # IRC repeats nothing, so every message that is read is a new one: its key must never be another one's.
        self._stamp, self._number = kit.random(8).hex(), 0
        # What was read and is not committed yet. It outlives its connection: the network will not say it again.
        self._unkept: list[Message] = []

    async def run(self, inlet: Inlet, *, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:  # noqa: ASYNC128
        """Hold the connection for ever."""
        await keep_connected(partial(self._session, inlet), inlet, task_status=task_status)

    # -- one connection ---------------------------------------------------------------------------

    async def _session(self, inlet: Inlet, link: Link) -> None:
        await self._keep(inlet)
        session = Session(self._login, nick_was_ours=self._nick_was_ours)
        async with self._dial(self._settings, self._kit.config_dir) as stream:
            wire, pulse = Wire(stream), Pulse(self._settings.ping_seconds, self._settings.patience_seconds)
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(wire.write)
                    nursery.start_soon(pulse.watch, lambda: wire.send(encode("PING", "oclaw")))
                    nursery.start_soon(self._tidy, session, wire)
                    await self._read(stream, session, wire, pulse, link, inlet)
            finally:
                wire.end()
                if self._wire is wire:
                    self._wire = None

    async def _read(
        self, stream: trio.abc.Stream, session: Session, wire: Wire, pulse: Pulse, link: Link, inlet: Inlet
    ) -> None:
        lines = Lines()
        await self._obey(session.begin(), session, wire, link, inlet)
        while True:
            received = await stream.receive_some(_READ_BYTES)
            if not received:
                raise ConnectionLost("the server closed the connection")
            pulse.heard()
            farewell: Exception | None = None
            try:
                for line in lines.feed(bytes(received)):
                    await self._obey(session.take(line), session, wire, link, inlet)
            except Exception as error:
                farewell = error
            # What was said before a farewell counts; and while the gateway is full, the silence is ours.
            with pulse.looking_away():
                await self._keep(inlet)
            if farewell is not None:
                raise farewell

    async def _keep(self, inlet: Inlet) -> None:
        """Hand over what was read until it is committed. Cancelled, it is handed over by the next connection."""
        while self._unkept:
            accepted = await inlet.accept(self._unkept)
            refused = next((each for each in accepted if isinstance(each, Refused)), None)
            if refused is not None:
                await trio.sleep(refused.retry_after)
            else:
                self._unkept = []

    async def _obey(self, effects: list[Effect], session: Session, wire: Wire, link: Link, inlet: Inlet) -> None:
        """Carry out what the session says. Raises what ends the connection."""
        for effect in effects:
            match effect:
                case Send(line):
                    await wire.send(line)
                case Said():
                    self._unkept += self._heard(effect, session)
                case Answered(token):
                    wire.answered(token)
                case Refusal(target, why):
                    wire.refused(target, why)
                case Ready():
                    self._wire, self._standing = wire, session
                    self._nick_was_ours |= folded(session.nick) == folded(self._settings.nick)
                    link.up(_detail(session))
                case Moved():
                    inlet.connected("connected", _detail(session))
                    inlet.wake()
                case Strange(kind):
                    self._kit.report(UnknownEvent(self.name, kind))
                case Gone(why, after_seconds):
                    raise ConnectionLost(why, after_seconds=after_seconds)
                case Wrong(setting, found, wanted):
                    raise SettingError(f"channels.{self.name}.{setting}", found=found, wanted=wanted)
        self._nick = session.nick

    async def _tidy(self, session: Session, wire: Wire) -> None:
        """Give up a server that never lets us in; then win back our nick and channels, every now and then."""
        await trio.sleep(_READY_SECONDS)
        if not session.joining:
            raise ConnectionLost(f"not let in within {_READY_SECONDS:g} s")
        while True:
            for effect in session.tidy():
                if isinstance(effect, Send):
                    await wire.send(effect.line)
            await trio.sleep(_TIDY_SECONDS)

    # -- in ---------------------------------------------------------------------------------------

    def _heard(self, event: Said, session: Session) -> list[Message]:
        line = event.line
        if folded(line.nick) == folded(session.nick):
            self._kit.report(EventIgnored(self.name, "own"))
            return []
        action = action_of(event.text)
        if action is None and (ctcp := ctcp_of(event.text)):
            self._kit.report(UnknownEvent(self.name, f"ctcp {ctcp}" if ctcp in _KNOWN_CTCP else "ctcp"))
            return []
        message = self._message(event, session, plain(action if action is not None else event.text), action is not None)
        objection = self._guard.objection(message)
        if objection:
            self._kit.report(EventIgnored(self.name, objection))
            return []
        return [message]

    def _message(self, event: Said, session: Session, text: str, action: bool) -> Message:  # noqa: FBT001
        line, sender = event.line, _sender(event)
        self._number += 1
        key = line.tags.get("msgid") or f"{self._stamp}-{self._number}"
        meant = addressed(text, (session.nick,)) if event.to_channel and not action else None
        named = re.search(rf"(?<![\w-]){re.escape(session.nick)}(?![\w-])", text, re.IGNORECASE)
        return Message(
            channel=self.name,
            platform=PLATFORM,
            id=key,
            dedupe_key=key,
            content=nfc(text if meant is None else meant).strip(),
            sender=sender,
            # A query is with a person and not with whoever has the nick today: what was said stays between the two.
            conversation=Conversation(folded(event.target), "channel", title=event.target)
            if event.to_channel
            else Conversation(sender.id, title=line.nick),
            mentions_me=not event.to_channel or meant is not None or named is not None,
            sent_at=_seconds(line.tags.get("time", "")),
            metadata={"nick": line.nick, "user": line.user, "host": line.host} | ({"action": True} if action else {}),
        )

    # -- out --------------------------------------------------------------------------------------

    def address_of(self, message: Message) -> dict[str, Any]:
        """Remember whom to name in a channel full of people."""
        if message.conversation.kind == "direct" or not self._settings.name_sender:
            return {}
        return {"to": str(message.metadata.get("nick", ""))}

    def cut(self, reply: Message) -> Sequence[str]:
        """Cut a reply into lines, each of which is relayed whole."""
        target = _target(reply.conversation)
        nick = max(self._nick, self._settings.nick + "__", key=len)
        return lines_of(
            reply.content,
            reply.attachments,
            bytes_each=budget(nick, target),
            formatting=self._settings.formatting,
            to=str(reply.metadata.get("to", "")),
        )

    async def deliver(self, delivery: Delivery) -> Receipt:
        """Say one line, and wait until the server has dealt with it."""
        message = delivery.message
        target, text = _target(message.conversation), said(message.content)
        if not target or target[0] in ":@$" or "," in target or not is_word(target):
            return Bounced(f"{target[:60]!r} is no nick or channel of IRC.")
        if not text.strip():
            return Bounced("There is nothing to say: IRC has text alone.")
        if self._wire is None:
            return offline("the IRC network")
        if absence := self._standing.absence(target):
            return Deferred(f"Not in {target}: {absence}.", _TIDY_SECONDS, offline=True)
        later = await self._pace.turn(patience_seconds=_TURN_SECONDS)
        if later is not None:
            return later
        wire = self._wire  # it may be another one by now
        return await wire.say(target, text) if wire is not None and wire.alive else offline("the IRC network")

    # -- oclaw doctor -----------------------------------------------------------------------------

    async def doctor(self, tell: Callable[[Finding], None]) -> None:
        """Connect, register and join as `run` would, under the configured nick; then leave."""
        settings, session, lines = self._settings, Session(self._login), Lines()
        async with self._dial(settings, self._kit.config_dir) as stream:
            how = "TLS" if settings.tls else "no TLS"
            tell(Finding(ok=True, what=f"connected to {settings.host}:{settings.port} with {how}"))
            effects = session.begin()
            while not session.ready:
                for effect in effects:
                    if isinstance(effect, Send):
                        await stream.send_all(effect.line)
                    elif isinstance(effect, Gone):
                        raise ConnectionLost(effect.why)
                    elif isinstance(effect, Wrong):
                        raise SettingError(effect.setting, found=effect.found, wanted=effect.wanted)
                received = await stream.receive_some(_READ_BYTES)
                if not received:
                    raise ConnectionLost("the server closed the connection")
                effects = [effect for line in lines.feed(bytes(received)) for effect in session.take(line)]
            known = session.nick == settings.nick
            taken = f"{settings.nick} is taken: by this gateway, if it is running, or by somebody"
            tell(Finding(known, f"known as {session.nick}", "" if known else taken))
            for channel in settings.channels:
                name = channel.partition(" ")[0]
                why = session.refused.get(folded(name), "")
                tell(Finding(not why, f"{name}: {why or 'joined'}", "ask its operators" if why else ""))


_KNOWN_CTCP = frozenset(("VERSION", "PING", "TIME", "DCC", "FINGER", "USERINFO", "CLIENTINFO", "SOURCE"))


def login_of(settings: Settings) -> Login:
    """Take together who we want to be."""
    return Login(
        nick=settings.nick,
        username=settings.username or re.sub(r"[^A-Za-z0-9]", "", settings.nick)[:10] or "oclaw",
        realname=settings.realname,
        channels=settings.channels,
        sasl_user=settings.sasl_user,
        sasl_password=settings.sasl_password.reveal() if settings.sasl_password else "",
        password=settings.password.reveal() if settings.password else "",
    )


def build(name: str, settings: Settings, kit: Kit) -> IrcChannel:
    """Make the channel; raises `SettingError` for a certificate file that cannot be used."""
    if settings.tls and settings.tls_authority:
        tls_context(settings, kit.config_dir)
    return IrcChannel(name, settings, kit)


def _sender(event: Said) -> Sender:
    """Name the account where the network tells it, else the whole mask: a nick alone can be anybody's."""
    line = event.line
    account = line.tags.get("account", "")
    mask = f"{folded(line.nick)}!{line.user}@{line.host}"
    return Sender(f"account:{account}" if account else mask, line.nick, "bot" in line.tags)


def _target(conversation: Conversation) -> str:
    """Return a name as its owner writes it, where we know: servers do not agree on which letters are the same."""
    title, id = conversation.title, conversation.id
    known = folded(title)
    if title and (known == id or id.startswith((f"{known}!", "account:"))):
        return title
    return id.partition("!")[0] or id


def _seconds(time: str) -> float:
    with suppress(ValueError, OverflowError):
        return datetime.fromisoformat(time).timestamp() if time else 0.0
    return 0.0


def _detail(session: Session) -> str:
    missing = "; ".join(f"not in {channel}: {why}" for channel, why in session.refused.items())
    return f"as {session.nick}" + (f"; {missing}" if missing else "")
