"""What a person asks at the control socket, answered out of the flow, the journal and the tree."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Literal, TypeVar, cast

import trio

from gateway.api.control import (
    DeadLetter,
    DeadStory,
    DisabledAddress,
    Done,
    Explained,
    HeldMessage,
    JournalStatus,
    Kind,
    LastError,
    Loaded,
    ReloadReport,
    RuleLine,
    SendOrder,
    Sent,
    Status,
    Trace,
)
from gateway.api.errors import NotPossible, NotThere
from gateway.api.health import readiness
from gateway.daemon.counsel import GIVEN_UP, WAITING, not_taken, way_on
from gateway.daemon.gauges import certificate_ends_at, children, failing_destinations, queues, vitals, workers
from gateway.daemon.lives import Lives
from gateway.daemon.ruledesk import rule_lines, rules_status
from gateway.errors import Overloaded
from gateway.message.lifecycle import DeliveryState, InboundState
from gateway.message.message import Conversation, Message, Sender, nfc
from gateway.ports import Accepted, Duplicate, Refused
from gateway.records import DeliveryRow, InboundRow
from gateway.telemetry.lines import Masks, record_of
from gateway.telemetry.tail import Seen

if TYPE_CHECKING:
    from gateway.daemon.serving import Serving

R = TypeVar("R")
S = TypeVar("S")
# What a person may let go, or end: held by a rule or hook, delayed, or taken by no rule.
_ASIDE = (InboundState.HELD, InboundState.DELAYED, InboundState.UNROUTED)
# A first attempt takes some milliseconds, and its outcome rides along with the next commit: an operator waits so long
# to hear of it, looking so often.
_UNTRIED = (DeliveryState.PENDING, DeliveryState.SENDING, DeliveryState.STREAMING)
_ATTEMPT_SECONDS = 1.0
_LOOK_SECONDS = 0.02
# Dead letters read at once for an export.
_PAGE = 100


class Desk:
    """Implements `gateway.api.control.Control`."""

    def __init__(self, serving: Serving) -> None:
        self._serving, self._flow = serving, serving.flow
        self._journal = serving.ground.journal
        self._lives = Lives(serving.ground.journal, serving.ground.sealer)
        self._started_at = serving.ground.now()

    async def status(self) -> Status:
        """Tell the gateway's health at a glance."""
        serving, reloader = self._serving, self._serving.reloader
        loaded = Loaded(
            path=str(serving.parts.settings.directory / "oclaw.toml"),
            generation=reloader.generation,
            loaded_at=reloader.loaded_at,
            refused_at=reloader.refused_at,
            refused=reloader.refused,
        )
        tally = dict(await self._journal.tally())
        health = readiness(vitals(serving))
        return Status(
            ready=health.status == "ready",
            problems=health.problems,
            state=cast(Literal["starting", "ready", "draining"], serving.state),
            since=serving.since,
            started_at=self._started_at,
            version=_version(),
            pid=os.getpid(),
            addresses=serving.addresses,
            certificate_ends_at=certificate_ends_at(serving) or 0.0,
            configuration=loaded,
            rules=rules_status(serving),
            waiting_for_reload=serving.watch.waiting(),
            journal=JournalStatus(failing=self._journal.failing, backlog=self._journal.backlog, tally=tally),
            children=children(serving),
            workers=workers(serving),
            failing_destinations=failing_destinations(serving),
            queues=queues(serving),
            counters=serving.telling.book.summary(),
            loop_lag_seconds=serving.telling.lag.worst,
            last_errors=tuple(
                last_error(seen, serving.telling.masks, texts=serving.telling.texts)
                for seen in serving.telling.latest.read()
            ),
        )

    async def send(self, order: SendOrder) -> Sent:
        """Inject a message; it takes the same walk as every other one."""
        channel = self._serving.channels.get(order.channel)
        door = self._serving.doors.get(order.channel)
        if channel is None or door is None:
            known = ", ".join(sorted(self._serving.doors)) or "none"
            raise NotThere(f'there is no channel "{order.channel}" switched on; there are: {known}')
        message = Message(
            channel=channel.name,
            platform=channel.platform,
            content=nfc(order.content),
            sender=Sender(id=order.sender, name=order.sender),
            conversation=Conversation(id=order.conversation),
            mentions_me=True,
            metadata={"sent_by": "operator"},
        )
        (acceptance,) = await door.inlet.accept([message])
        match acceptance:
            case Refused(why, retry_after):
                raise Overloaded(not_taken(why, self._journal.failing), retry_after)
            case Accepted(id) | Duplicate(id):
                return await self._outcome(id, order.wait_seconds)

    async def trace(self, envelope_id: str) -> Trace:
        """Tell a message's whole life."""
        return await self._lives.trace(envelope_id)

    async def dead(self, kind: Kind | None, *, limit: int) -> Sequence[DeadLetter]:
        """List dead letters, the latest change first."""
        rows: list[InboundRow | DeliveryRow] = []
        if kind != "delivery":
            rows += await self._journal.inbound_in(InboundState.DEAD, limit=limit, latest=True)
        if kind != "inbound":
            for state in GIVEN_UP:
                rows += await self._journal.deliveries_in(state, limit=limit, latest=True)
        return await _told(sorted(rows, key=lambda row: row.changed_at, reverse=True)[:limit], self._lives.dead)

    async def dead_stories(self) -> AsyncGenerator[DeadStory]:
        """Yield all dead letters, each with the life of its message, kind by kind and oldest first."""
        seq = 0
        while rows := await self._journal.inbound_in(InboundState.DEAD, limit=_PAGE, after_seq=seq):
            for row in rows:
                yield DeadStory(self._lives.dead_message(row), await self._lives.trace(row.id))
            seq = rows[-1].seq
        for state in sorted(GIVEN_UP):
            seq = 0
            while found := await self._journal.deliveries_in(state, limit=_PAGE, after_seq=seq):
                for reply in found:
                    yield DeadStory(self._lives.dead_delivery(reply), await self._lives.trace(reply.envelope_id))
                seq = found[-1].seq

    async def dead_letter(self, letter_id: str) -> DeadStory:
        """Show one dead letter with the life of its message."""
        letter = await self._letter(letter_id)
        return DeadStory(letter, await self._lives.trace(letter_id.partition(".")[0]))

    async def retry(self, letter_id: str) -> Done:
        """Take a dead letter up again at the tail of its conversation."""
        letter = await self._letter(letter_id)
        recovery = self._flow.recovery
        again = recovery.readmit if letter.kind == "inbound" else recovery.resend
        if not await again(letter_id, "retried by an operator"):
            raise NotPossible(f"{letter_id} is {letter.state} and cannot be retried")
        state = InboundState.ACCEPTED if letter.kind == "inbound" else DeliveryState.PENDING
        return Done(letter_id, state.value)

    async def drop(self, letter_id: str) -> Done:
        """Discard a dead letter, or a reply that waits, for good."""
        reply = await self._journal.delivery(letter_id) if "." in letter_id else None
        if reply is None or reply.state not in WAITING:
            await self._letter(letter_id)
        elif (standing := self._flow.outbox.standing(letter_id)) is not None and standing.under_way:
            raise NotPossible(f"reply {letter_id} is being sent at this moment")
        to = DeliveryState.DROPPED if "." in letter_id else InboundState.DROPPED
        if not await self._flow.recovery.discard(letter_id, to, "dropped by an operator"):
            raise NotPossible(f"{letter_id} has changed meanwhile and cannot be dropped")
        return Done(letter_id, to.value)

    async def held(self, *, limit: int) -> Sequence[HeldMessage]:
        """List what is set aside, the oldest first."""
        rows = [row for state in _ASIDE for row in await self._journal.inbound_in(state, limit=limit)]
        return await _told(sorted(rows, key=lambda row: row.seq)[:limit], self._lives.held)

    async def release(self, envelope_id: str) -> Done:
        """Let a message that is set aside go on."""
        row = await self._row(envelope_id)
        if row.state not in _ASIDE or not await self._flow.recovery.readmit(envelope_id, "released by an operator"):
            only = "only what is set aside can be released"
            raise NotPossible(f"message {envelope_id} is {row.state.value}; {only}{way_on(row)}")
        return Done(envelope_id, InboundState.ACCEPTED.value)

    async def discard(self, envelope_id: str) -> Done:
        """Drop a message that is set aside, for good."""
        row, to = await self._row(envelope_id), InboundState.DROPPED
        if row.state not in _ASIDE or not await self._flow.recovery.discard(envelope_id, to, "dropped by an operator"):
            only = "only what is set aside can be dropped"
            raise NotPossible(f"message {envelope_id} is {row.state.value}; {only}{way_on(row)}")
        return Done(envelope_id, to.value)

    async def disabled(self) -> Sequence[DisabledAddress]:
        """List what asked never to be sent to again."""
        listed = self._flow.outbox.disabled.listed()
        return [DisabledAddress(channel=channel, address=address) for channel, address in listed]

    async def enable(self, what: DisabledAddress) -> Done:
        """Let an address be sent to again; its dead letters are retried one by one."""
        if not self._flow.outbox.disabled.remove(what.channel, what.address):
            raise NotThere(f"{what.address} is not disabled on {what.channel}; `oclaw disabled list` names what is")
        return Done(what.address, "enabled")

    async def reload(self) -> ReloadReport:
        """Read the configuration again."""
        done = await self._serving.reloader.reload()
        return ReloadReport(
            applied=done.applied,
            generation=self._serving.reloader.generation,
            changes=done.changes,
            problems=done.problems,
        )

    async def rules(self, *, limit: int) -> Sequence[RuleLine]:
        """List rules with their counts."""
        counted = dict(self._serving.staging.memory.counters.rules)
        with self._serving.rules.reading() as ruleset:
            return await trio.to_thread.run_sync(rule_lines, ruleset, counted, limit)

    async def explain(self, envelope_id: str) -> Explained:
        """Explain a journaled message by the rules in force."""
        with self._serving.rules.reading() as ruleset:
            return await self._lives.explained(envelope_id, ruleset)

    async def _outcome(self, envelope_id: str, wait_seconds: float) -> Sent:
        results = self._flow.results
        result = None
        if wait_seconds > 0:
            with trio.move_on_after(wait_seconds):
                result = await results.wait(envelope_id)
        result = result or await results.find(envelope_id)
        if result is None or result.state is InboundState.ACCEPTED:
            way = f"it is under way; `oclaw trace {envelope_id}` tells what becomes of it"
            return Sent(id=envelope_id, state=InboundState.ACCEPTED.value, what_now=way)
        if wait_seconds > 0:
            with trio.move_on_after(min(wait_seconds, _ATTEMPT_SECONDS)):
                await self._attempted(envelope_id)
        ways, undelivered = await self._lives.undelivered(envelope_id, self._behind)
        return Sent(
            id=envelope_id,
            state=result.state.value,
            why=result.why,
            replies=tuple(reply.content for reply in result.replies),
            what_now=ways,
            undelivered=undelivered,
        )

    def _behind(self, delivery_id: str) -> str:
        standing = self._flow.outbox.standing(delivery_id)
        if standing is None:
            return ""
        behind = [f"behind {standing.before} earlier to the same conversation"] if standing.before else []
        return ": ".join([*behind, standing.offline] if standing.offline else behind)

    async def _attempted(self, envelope_id: str) -> None:
        """Return when every reply has been tried once, or waits for a destination that rests."""
        # Of a commit nobody but the outbox is told.
        while any(map(self._is_untried, await self._journal.deliveries_of(envelope_id))):  # noqa: ASYNC110
            await trio.sleep(_LOOK_SECONDS)

    def _is_untried(self, row: DeliveryRow) -> bool:
        if row.state not in _UNTRIED:
            return False
        standing = self._flow.outbox.standing(row.id)
        return standing is None or not standing.paused

    async def _row(self, envelope_id: str) -> InboundRow:
        row = await self._journal.message(envelope_id)
        if row is None:
            raise NotThere(f"there is no message {envelope_id}")
        return row

    async def _letter(self, letter_id: str) -> DeadLetter:
        if "." in letter_id:
            delivery = await self._journal.delivery(letter_id)
            if delivery is not None and delivery.state in GIVEN_UP:
                return self._lives.dead_delivery(delivery)
            if delivery is not None:
                raise NotPossible(f"reply {letter_id} is {delivery.state.value}, no dead letter")
        else:
            message = await self._journal.message(letter_id)
            if message is not None and message.state is InboundState.DEAD:
                return self._lives.dead_message(message)
            if message is not None:
                raise NotPossible(f"message {letter_id} is {message.state.value}, no dead letter{way_on(message)}")
        raise NotThere(f"there is no dead letter {letter_id}; `oclaw dead list` names them all")


def last_error(seen: Seen, masks: Masks, *, texts: bool) -> LastError:
    """Put an error into words; secrets and message text are kept out of them as they are out of the log."""
    told = record_of(seen.notice, seen.at, masks=masks, envelope_id=seen.envelope_id, texts=texts)
    return LastError(seen.at, told["event"], str(told.get("why") or told.get("error", "")), told.get("envelope_id", ""))


def _version() -> str:
    try:
        return version("oclaw")
    except PackageNotFoundError:
        return "from source"


async def _told(rows: Sequence[R], tell: Callable[[R], S]) -> list[S]:
    """Tell of each row, and let others have their turn in between: a thousand long messages take seconds to open."""
    told: list[S] = []
    for row in rows:
        told.append(tell(row))
        await trio.lowlevel.checkpoint()
    return told
