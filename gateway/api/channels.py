"""What HTTP exposes of the channels: `/channels/<name>`, `/channels/<name>/messages/<id>`, the chat page at `/`,
and the paths that a platform calls because it knows no others (`ports.Routed`).

A POST is the hot path: it is received, offered and answered from the commit's callback, without a
task of its own. A task is started only for what waits: a platform check over the network, a caller
with `Prefer: wait`, a result read back, a socket. Knows the seams of `ports.py` and no platform.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import lru_cache, partial
from math import ceil
from types import MappingProxyType
from typing import Any

import trio
from msgspec import Struct
from msgspec.structs import replace

from gateway.api.wire import area_of
from gateway.channels.field_map import MOST_LEVELS, unkeepable
from gateway.errors import SealError, parted, stays_contained
from gateway.message.lifecycle import InboundState
from gateway.notices import EnvelopeRefused, Report, RequestFailed
from gateway.ports import (
    Acceptance,
    Accepted,
    Arrived,
    Awaited,
    Duplicate,
    Inlet,
    Refused,
    Result,
    Results,
    Routed,
    Sockets,
    Webhook,
)
from gateway.supervise.crash import tell
from protocols.http1.messages import Request, Response
from protocols.hub.exchange import Exchange
from protocols.problem import problem
from protocols.transport.steps import InStep, at_once
from protocols.websocket.handshake import UPGRADE

PREFIX = "/channels/"
FRONT = ("/", "/chat")
# An envelope id has 36 characters; what is longer was never ours.
_LONGEST_ID = 64
# What waited unread for too long is not taken, so that what has just come in is in time.
LATE = Refused("overloaded", retry_after=1.0)
# While a reload puts another channel in the place of one, for two seconds at most.
CHANGING = Refused("reload", retry_after=1.0)


class Door(Struct, frozen=True):
    """One channel as HTTP sees it: its inlet, and which of the optional seams it has."""

    name: str
    inlet: Inlet
    webhook: Webhook | None = None
    awaited: Awaited | None = None
    sockets: Sockets | None = None
    routed: Routed | None = None
    front_page: Callable[[Request, float], Response] | None = None

    @property
    def body_bytes(self) -> int:
        """How long a body may be on the channel's own paths, beyond what is usual."""
        return self.routed.body_bytes if self.routed is not None else 0

    def routes(self, path: str) -> bool:
        """Tell whether a path is one that the channel's platform chose."""
        return self.routed is not None and path.startswith(self.routed.paths)

    def claims(self, request: Request) -> bool:
        """Tell whether a call on a path that several channels have is for this one."""
        return self.routed is not None and self.routed.claims(request)


def door_to(channel: Any, inlet: Inlet) -> Door:
    """Find out what a channel offers over HTTP."""
    return Door(
        name=channel.name,
        inlet=inlet,
        webhook=channel if hasattr(channel, "receive") else None,
        awaited=channel if hasattr(channel, "render") else None,
        sockets=channel if hasattr(channel, "converse") else None,
        routed=channel if hasattr(channel, "claims") else None,
        front_page=getattr(channel, "front_page", None),
    )


class ChannelsEndpoint:
    """Dispatches requests to channels, and to `otherwise` those on paths that are neither theirs nor a platform's.

    `doors` may change while serving; where one is closed for a moment it stands in `changing`, and callers are told to
    come again; `nursery` holds what waits. `full` says why no message can be taken now, whoever sends it: under
    overload a refusal must cost a fraction of a message, so it comes before anything is looked at.
    """

    def __init__(
        self,
        doors: Mapping[str, Door],
        nursery: trio.Nursery,
        *,
        otherwise: Callable[[Exchange], None],
        results: Results,
        now: Callable[[], float],
        report: Report,
        full: Callable[[], Refused | None] = lambda: None,
        in_step: InStep = at_once,
        changing: Mapping[str, Door] = MappingProxyType({}),
    ) -> None:
        self._doors, self._changing, self._nursery, self._results = doors, changing, nursery, results
        self._otherwise, self._now, self._report, self._full = otherwise, now, report, full
        self._in_step = in_step
        # Where nothing but messages arrives, found once. A row counts while its door is the one of its name.
        self._entries: dict[str, tuple[Door, Webhook]] = {}
        self._waits: set[trio.CancelScope] = set()

    def body_bytes(self, target: str) -> int:
        """Return how long a body may be for the sake of the platform that is served there; 0 says nothing."""
        if target.startswith(PREFIX):
            name, _, rest = target[len(PREFIX) :].partition("/")
            door = self._doors.get(name)
            return door.body_bytes if door is not None and door.routes(f"/{rest}") else 0
        return max((door.body_bytes for door in self._routed(target)), default=0)

    def dispatch(self, exchange: Exchange) -> None:
        """Answer an exchange, now or later."""
        path = exchange.request.path
        entry = self._entries.get(path)
        if entry is not None and self._doors.get(entry[0].name) is entry[0]:
            self._receive(exchange, *entry)
        elif path.startswith(PREFIX):
            self._enter(exchange, exchange.request)
        elif path in FRONT or self._routed(path) or self._closed(path):
            self._elsewhere(exchange, exchange.request)
        else:
            self._otherwise(exchange)

    def wait_no_longer(self) -> None:
        """Answer whoever waits for a reply with what there is: the message is kept, and this is where to ask later."""
        for scope in self._waits:
            scope.cancel()

    def _enter(self, exchange: Exchange, request: Request) -> None:
        """Answer what stands below `/channels/`."""
        name, _, rest = request.path[len(PREFIX) :].partition("/")
        door = self._doors.get(name)
        if door is None and name in self._changing:
            exchange.answer(busy(CHANGING))
        elif door is None:
            exchange.answer(problem(404, "There is no channel of this name."))
        elif rest and door.webhook is not None and door.routes(f"/{rest}"):
            self._receive(exchange, door, door.webhook)
        elif rest:
            self._look_up(exchange, door, rest)
        elif door.sockets is not None and request.headers.has_token("upgrade", "websocket"):
            self._nursery.start_soon(self._guarded, exchange, door.sockets.converse, exchange)
        elif door.webhook is None and door.sockets is None:
            exchange.answer(problem(404, "This channel takes nothing over HTTP."))
        elif door.webhook is None:
            exchange.answer(problem(426, "This channel speaks WebSocket.", headers=UPGRADE))
        else:
            if door.sockets is None:
                self._entries[PREFIX + name] = (door, door.webhook)
            self._receive(exchange, door, door.webhook)

    def _routed(self, path: str) -> list[Door]:
        return [door for door in self._doors.values() if door.routes(path)]

    def _closed(self, path: str) -> bool:
        return any(door.routes(path) for door in self._changing.values())

    def _elsewhere(self, exchange: Exchange, request: Request) -> None:
        """Answer what stands outside `/channels/`."""
        doors = self._routed(request.path)
        door = next((door for door in doors if door.claims(request)), None)
        if door is None and self._closed(request.path):
            exchange.answer(busy(CHANGING))
            return
        door = door or next(iter(doors), None)
        if door is not None and door.webhook is not None:
            self._receive(exchange, door, door.webhook)
        else:
            exchange.answer(self._front_page(request))

    def _front_page(self, request: Request) -> Response:
        if request.path not in FRONT:
            return problem(404, "There is nothing here.")
        for door in self._doors.values():
            if door.front_page is not None:
                return door.front_page(request, self._now())
        if any(door.front_page is not None for door in self._changing.values()):
            return busy(CHANGING)
        return problem(404, "There is no page here: no channel of type webchat is switched on.")

    # -- messages in ------------------------------------------------------------------------------

    def _receive(self, exchange: Exchange, door: Door, webhook: Webhook) -> None:
        if exchange.request.method == "POST":
            refused = LATE if exchange.late else self._full()
            if refused is not None:
                self._report(EnvelopeRefused(door.name, refused.why))
                exchange.answer(busy(refused))
                return
        came = webhook.receive(exchange.request, self._now())
        if isinstance(came, Arrived):
            self._offer(exchange, door, came)
        elif isinstance(came, Response):
            exchange.answer(came)
        else:
            self._nursery.start_soon(self._guarded, exchange, self._receive_later, exchange, door, came)

    async def _receive_later(self, exchange: Exchange, door: Door, coming: Awaitable[Arrived | Response]) -> None:
        came = await coming
        if isinstance(came, Response):
            exchange.answer(came)
        else:
            self._offer(exchange, door, came)

    def _offer(self, exchange: Exchange, door: Door, came: Arrived) -> None:
        if not came.messages and came.cursor is None:
            exchange.answer(came.answer(()))
        else:
            self._in_step(partial(self._offer_now, exchange, door, came))

    def _offer_now(self, exchange: Exchange, door: Door, came: Arrived) -> None:
        try:
            door.inlet.offer(came.messages, partial(self._committed, exchange, door, came), came.cursor)
        except SealError as error:
            exchange.answer(_unkept(came, error))
        except Exception as error:
            self._fail(exchange, error)

    def _committed(self, exchange: Exchange, door: Door, came: Arrived, acceptances: Sequence[Acceptance]) -> None:
        """Answer from the commit's callback. What goes wrong here must not reach the journal."""
        try:
            match acceptances:
                case [Refused() as refused, *_]:
                    exchange.answer(busy(refused))
                case [Accepted(id) | Duplicate(id)] if came.wait_seconds and door.awaited is not None:
                    wait = partial(self._wait, exchange, door.name, door.awaited, id, came.wait_seconds)
                    self._nursery.start_soon(self._guarded, exchange, wait)
                case _:
                    exchange.answer(came.answer(acceptances))
        except trio.Cancelled:
            raise
        except BaseException as error:
            if not stays_contained(error):
                raise
            self._fail(exchange, error)

    # -- replies asked for ------------------------------------------------------------------------

    async def _wait(self, exchange: Exchange, name: str, awaited: Awaited, envelope_id: str, seconds: float) -> None:
        result = Result(envelope_id=envelope_id, state=InboundState.ACCEPTED)
        with trio.move_on_after(seconds) as scope:
            exchange.on_gone(scope.cancel)
            self._waits.add(scope)
            try:
                result = await self._results.wait(envelope_id) or result
            finally:
                self._waits.discard(scope)
        response = awaited.render(result)
        place = (("Preference-Applied", "wait"), ("Location", f"{PREFIX}{name}/messages/{envelope_id}"))
        exchange.answer(replace(response, headers=(*response.headers, *place)))

    def _look_up(self, exchange: Exchange, door: Door, rest: str) -> None:
        kind, _, envelope_id = rest.partition("/")
        if kind != "messages" or door.awaited is None or not 0 < len(envelope_id) <= _LONGEST_ID:
            exchange.answer(problem(404, "A channel has messages/<id> here, and nothing else."))
        elif exchange.request.method != "GET":
            exchange.answer(problem(405, "A message's result is read with GET.", headers=(("Allow", "GET"),)))
        elif (refusal := door.awaited.admit(exchange.request, self._now())) is not None:
            exchange.answer(refusal)
        else:
            find = partial(self._tell, exchange, door.name, door.awaited, envelope_id)
            self._nursery.start_soon(self._guarded, exchange, find)

    async def _tell(self, exchange: Exchange, name: str, awaited: Awaited, envelope_id: str) -> None:
        result = await self._results.find(envelope_id)
        if result is None or result.channel != name:
            exchange.answer(problem(404, "This channel has no message of this id, or no longer."))
        else:
            exchange.answer(awaited.render(result))

    # -- what goes wrong --------------------------------------------------------------------------

    async def _guarded(self, exchange: Exchange, work: Callable[..., Awaitable[None]], *arguments: Any) -> None:
        """Contain what a channel raises, whether plain or out of a nursery of its own, and were it `sys.exit()`."""
        try:
            await work(*arguments)
        except trio.Cancelled:
            raise
        except BaseException as raised:
            crash, passing = parted(raised)
            if crash is not None:
                self._fail(exchange, crash)
            if passing is not None:
                raise passing from None

    def _fail(self, exchange: Exchange, error: BaseException) -> None:
        self._report(RequestFailed(area_of(exchange.request.path), tell(error)))
        if not exchange.answered:
            exchange.answer(problem(500, "The gateway failed while it looked at this request."))


def _unkept(came: Arrived, error: SealError) -> Response:
    """Name the value that is valid JSON and fits in no record: a number beyond 64 bits, nesting without end."""
    for message in came.messages:
        pointer = unkeepable(message.metadata)
        if pointer is not None:
            wanted = f"a whole number of 64 bits, or at most {MOST_LEVELS} levels deep"
            members = {"errors": [{"pointer": pointer, "found": "a value that cannot be stored", "wanted": wanted}]}
            return problem(422, f"{pointer} cannot be stored; it must be {wanted}.", members=members)
    return problem(422, f"The message cannot be stored: {error}")


@lru_cache(maxsize=16)  # senders who waited for too long are all told the same
def busy(refused: Refused) -> Response:
    """Say that the gateway cannot take a message now, and when to come again."""
    headers = (("Retry-After", str(max(1, ceil(refused.retry_after)))),)
    return problem(503, "The gateway cannot take this message now.", headers=headers, members={"reason": refused.why})
