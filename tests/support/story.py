"""The whole flow in memory, for stories on a mocked clock: a journal in a test's hand, fake channels, real rules.

    async with gateway(rules='WHEN message.content == "hi" THEN reply("hello")') as story:
        await story.receives("hi")
        assert story.sent() == ["hello"]

Everything between the channel and the journal is the real thing, plugged together by the daemon's own
staging. The clock is Trio's; an `autojump_clock` makes pauses of hours take no time.
"""

from __future__ import annotations

import random
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import trio
from msgspec.structs import replace

from gateway.config.settings import FlowSettings, GatewaySettings, Settings
from gateway.daemon.build import Parts
from gateway.daemon.stages import Staging
from gateway.errors import in_words
from gateway.flow.accept import Limits
from gateway.flow.actions import InstalledAction
from gateway.flow.flight import Flight, blamed
from gateway.flow.hooks import Link
from gateway.flow.retry import RetryPolicy
from gateway.flow.spine import Flow, Ground, open_flow
from gateway.flow.vocabulary import vocabulary
from gateway.journal import Memory, open_memory_journal
from gateway.message.dictionary import Dictionaries
from gateway.message.envelope import Delivery
from gateway.message.keyring import new_keyring
from gateway.message.message import Conversation, Message, Sender
from gateway.message.receipt import Delivered, Receipt
from gateway.message.seal import Sealer
from gateway.models.echo import Echo
from gateway.models.echo import Settings as EchoSettings
from gateway.models.registry import Models
from gateway.notices import Notice, RequestFailed
from gateway.pipelines.reading import parse
from gateway.pipelines.spec import Pipeline
from gateway.pipelines.workers import WorkerPool
from gateway.ports import Acceptance, Accepted, Provider, Traits
from protocols.transport.steps import Steps
from rules import Ruleset, load

EPOCH = 1_800_000_000.0
ECHO = "pipeline: [{name: say, model: echo}]"
_PLACES = 1000
# What stands in a file beside the journal: that a gateway runs, and whom it walks. An orderly stop takes it away.
_RUNNING: WeakKeyDictionary[Memory, dict[int, str]] = WeakKeyDictionary()


class FakeChannel:
    """A channel whose platform is this test: it remembers what was sent and answers as it was told to."""

    def __init__(self, name: str, traits: Traits) -> None:
        self.name, self.platform, self.traits = name, "fake", traits
        self.deliveries: list[Delivery] = []
        self.times: list[float] = []
        self._answers: dict[str, deque[Receipt | BaseException | Callable[[], Any]]] = defaultdict(deque)

    def will(self, *answers: Receipt | BaseException | Callable[[], Any], conversation: str = "") -> None:
        """Answer the next attempts (in one conversation, or in any) so; afterwards everything is delivered."""
        self._answers[conversation].extend(answers)

    async def run(self, inlet: Any, *, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        await trio.sleep_forever()

    async def deliver(self, delivery: Delivery) -> Receipt:
        await trio.lowlevel.checkpoint()
        self.deliveries.append(delivery)
        self.times.append(trio.current_time())
        answers = self._answers[delivery.message.conversation.id] or self._answers[""]
        answer = answers.popleft() if answers else Delivered()
        if isinstance(answer, BaseException):
            raise answer
        if callable(answer):
            receipt: Receipt = await answer()
            return receipt
        return answer

    def address_of(self, message: Message) -> dict[str, Any]:
        return {}

    def texts(self, conversation: str = "") -> list[str]:
        """What arrived here, attempts that failed included, in order."""
        return [each.message.content for each in self.deliveries if conversation in ("", each.message.conversation.id)]


class Story:
    """One running gateway in a test."""

    def __init__(
        self,
        flow: Flow,
        staging: Staging,
        channels: dict[str, FakeChannel],
        notices: list[Notice],
        wall: list[float],
        parts: Parts,
        steps: Steps,
    ) -> None:
        self._wall, self._parts, self._steps = wall, parts, steps
        self.flow, self.staging, self.channels, self.notices = flow, staging, channels, notices
        self._numbers = 0

    def reload(self) -> None:
        """Make all stages anew and swap them, as a reload does."""
        self.flow.walker.stages = self.staging.stages(self._parts)

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward, or back; Trio's clock goes on as it was."""
        self._wall[0] += seconds

    def wake_up(self) -> AbstractContextManager[None]:
        """Have what is offered in this block go in step, as what one wake-up of the watch brings does."""
        return _wake_up(self._steps)

    def message(self, text: str, **fields: Any) -> Message:
        """Build a message as channel "chat" would; `conversation`, `sender` and `key` are short forms."""
        self._numbers += 1
        conversation = fields.pop("conversation", "room")
        sender = fields.pop("sender", "ann")
        key = fields.pop("key", f"m{self._numbers}")
        return Message(
            channel=fields.pop("channel", "chat"),
            platform="fake",
            id=fields.pop("id", key),
            content=text,
            dedupe_key=key,
            sender=Sender(id=sender, name=sender),
            conversation=Conversation(id=conversation, kind=fields.pop("kind", "direct")),
            **fields,
        )

    def offer(self, *messages: Message) -> list[Acceptance]:
        """Hand messages in without waiting; the list fills when they are committed."""
        answers: list[Acceptance] = []
        channel = self.channels[messages[0].channel]
        self.flow.door.offer(channel.name, channel.traits, messages, answers.extend)
        return answers

    async def receives(self, text: str, **fields: Any) -> str:
        """Take one message, wait for its commit, and return its envelope id."""
        answers = self.offer(self.message(text, **fields))
        while not answers:
            await trio.lowlevel.checkpoint()
        answer = answers[0]
        assert isinstance(answer, Accepted), answer
        return answer.id

    async def settles(self) -> None:
        """Return when nothing is in hand and nothing waits to be sent (pauses of retries are waited out)."""
        pause = 0.05
        while self.flow.lanes.total or self.flow.outbox.pending or self.flow.ground.journal.backlog:
            await trio.sleep(pause)
            pause = min(pause * 1.1, 60.0)  # a day's pause must not be a million looks

    def sent(self, conversation: str = "", channel: str = "chat") -> list[str]:
        """Texts that reached the channel, attempts included."""
        return self.channels[channel].texts(conversation)

    def reported(self, kind: type[Notice]) -> list[Any]:
        """Notices of one kind, in order."""
        return [notice for notice in self.notices if type(notice) is kind]

    async def state(self, envelope_id: str) -> str:
        """The message's state in the journal."""
        row = await self.flow.ground.journal.message(envelope_id)
        return "" if row is None else row.state.value


@asynccontextmanager
async def gateway(
    *,
    memory: Memory | None = None,
    rules: str = "",
    pipelines: dict[str, str] | None = None,
    models: dict[str, Provider] | None = None,
    functions: dict[str, Callable[..., Any]] | None = None,
    inbound: Sequence[Link] = (),
    outbound: Sequence[Link] = (),
    default_pipeline: str = "echo",
    traits: Traits | dict[str, Traits] | None = None,
    limits: Limits | None = None,
    policy: RetryPolicy | None = None,
    poison_attempts: int = 3,
    seed: int = 1,
    journal: Any = None,
    wall: list[float] | None = None,
    prepare: Callable[[FakeChannel], None] | None = None,
    actions: dict[str, InstalledAction] | None = None,
) -> AsyncIterator[Story]:
    """Open a gateway over a memory (a fresh one when none is given) and recover what it holds."""
    notices: list[Notice] = []
    steps = Steps(lambda error: notices.append(RequestFailed("a step of a message", in_words(error))))
    wall = wall if wall is not None else [EPOCH]
    each = traits if isinstance(traits, dict) else dict.fromkeys(("chat", "oncall"), traits or Traits(idempotent=True))
    channels = {name: FakeChannel(name, each[name]) for name in ("chat", "oncall")}
    for channel in channels.values():
        if prepare is not None:
            prepare(channel)
    parts = _parts(rules, pipelines, models, functions, inbound, outbound, default_pipeline, actions or {})
    last = None if memory is None else _RUNNING.get(memory)
    names = dict[int, str]()
    # Another life over the same memory must not name its messages as the last one did.
    chance = random.Random(f"{seed}/{memory.commits if memory else 0}")
    wake_up = partial(_wake_up, steps)
    async with journal or open_memory_journal(memory, report=notices.append, wake_up=wake_up) as opened:
        ground = Ground(
            journal=opened,
            sealer=_sealer(),
            report=notices.append,
            now=lambda: wall[0] + trio.current_time(),
            random=chance.randbytes,
            spread=chance.random,
            limits=limits or Limits(),
            policy=policy or RetryPolicy(),
            poison_attempts=poison_attempts,
            in_step=steps.take,
        )
        flows: list[Flow] = []
        staging = Staging(
            ground,
            channels,
            clear=lambda key: flows[0].outbox.clear(key),
            occupied=lambda key: flows[0].outbox.occupied(key),
            workers=WorkerPool(ground.now).asker,
            working=lambda message: flows[0].typist.working(message),
        )
        async with open_flow(ground, channels, staging.stages(parts)) as flow:
            flows.append(flow)
            if memory is not None:
                _RUNNING[memory] = names
            if memory is not None and last is not None:
                flow.door.cautious, flow.lanes.flight = True, Flight(_named_in(names, memory))
            for channel in channels.values():
                flow.outbox.attach(channel)
            await flow.recovery.at_start(channels, blamed([(last or {}).get(place, "") for place in range(_PLACES)]))
            try:
                yield Story(flow, staging, channels, notices, wall, parts, steps)
            finally:
                if memory is not None and not memory.crashed:
                    del _RUNNING[memory]


@contextmanager
def _wake_up(steps: Steps) -> Iterator[None]:
    steps.together = True
    try:
        yield
        steps.catch_up()
    finally:
        steps.together = False


def _named_in(names: dict[int, str], memory: Memory) -> Callable[[int, str], None]:
    def put(place: int, name: str) -> None:
        if not memory.crashed:
            names[place] = name

    return put


def hook(call: Callable[..., Any], **how: Any) -> Link:
    """Make a link of a plain function, as the daemon does of an operator's."""
    import inspect

    takes = len(inspect.signature(call).parameters) >= 2
    link = Link(name=call.__name__, call=call, takes_context=takes, is_async=inspect.iscoroutinefunction(call))
    for name, value in how.items():
        setattr(link, name, value)
    return link


def _parts(
    rules: str,
    pipelines: dict[str, str] | None,
    models: dict[str, Provider] | None,
    functions: dict[str, Callable[..., Any]] | None,
    inbound: Sequence[Link],
    outbound: Sequence[Link],
    default_pipeline: str,
    actions: dict[str, InstalledAction],
) -> Parts:
    providers: dict[str, Provider] = {"echo": Echo(EchoSettings()), **(models or {})}
    specs = {
        name: spec
        for name, text in {"echo": ECHO, **(pipelines or {})}.items()
        if isinstance(spec := parse(name, name, text, providers), Pipeline) or _wrong(spec)
    }
    more = {name: action.spec for name, action in actions.items()}
    words = vocabulary(pipelines=specs, models=providers, channels=("chat", "oncall"), more=more)
    ruleset = load({"story.rules": rules}, words, _NoLoader())
    assert isinstance(ruleset, Ruleset), ruleset.render()
    settings = Settings(
        directory=Path("."),
        state_dir=Path("."),
        gateway=GatewaySettings(default_pipeline=default_pipeline),
        flow=FlowSettings(),
    )
    return Parts(
        settings=settings,
        channels={},
        models=Models(providers),
        pipelines=specs,
        inbound=tuple(inbound),
        outbound=tuple(outbound),
        ruleset=ruleset,
        rule_files={},
        functions=functions or {},
        actions=actions,
    )


def _wrong(problems: object) -> bool:
    raise AssertionError(problems)


class _NoLoader:
    def lines(self, name: str) -> tuple[str, ...]:
        raise LookupError(name)

    def zone(self, name: str) -> Any:
        from datetime import UTC

        return UTC


_RING = new_keyring(EPOCH, random.Random(7).randbytes)


def _sealer() -> Sealer:
    return Sealer(_RING, Dictionaries(), random.Random(8).randbytes)


__all__ = ["EPOCH", "FakeChannel", "Story", "gateway", "hook", "replace"]
