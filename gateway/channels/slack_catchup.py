"""What was said while no connection stood is read from the conversations that we are in.

Through Socket Mode Slack says an event again for some five minutes and then no more. So when a connection stands
after there was none, each conversation is read back, from a minute before the last message that was heard; the
journal knows most of it by its ts. What is said there meanwhile waits, so that the order is kept.

Not read back are commands, clicks, reactions, edits and deletions: no conversation has them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from math import inf
from typing import Any

import trio

from gateway.channels.shared.pace import Pace
from gateway.channels.slack_api import NotAnswered, Said, WebApi, receipt_for
from gateway.channels.slack_entrance import Entrance
from gateway.channels.slack_events import seconds_of
from gateway.channels.slack_fields import listed, table, text
from gateway.channels.slack_files import Turns
from gateway.channels.slack_people import is_person
from gateway.message.message import Conversation, Message
from gateway.message.receipt import Deferred, Unknown
from gateway.notices import EnvelopeRefused, Report
from gateway.ports import Cursor

Take = Callable[[Message], Awaitable[bool]]
"""Commits a message; False when it cannot be taken now."""

CURSOR = "heard"
# What is told in a row comes and is committed in any order.
_MARGIN_SECONDS = 60.0
# Shorter than a ts is remembered, or what is old would be answered again.
LONGEST_SECONDS = 20 * 3600.0
# The moment is committed with messages; once in so many seconds is enough within the margin.
_EVERY_SECONDS = 5.0
# Slack answers some fifty questions a minute: so many direct conversations, and as many others, take four minutes.
_MOST_ROOMS, _MOST_THREADS, _MOST_POSTS = 100, 10, 200
_MOST_TRIES = 3
_MOST_TOLD = 100
_AGAIN_SECONDS = 30.0
# Who speaks in a conversation that is not read yet waits so long for our own name and for the rate limit.
_PATIENCE_SECONDS = 5.0
_DIRECT, _OTHERS = "im", "mpim,private_channel,public_channel"
_KINDS = {"direct": "im", "group": "group", "channel": "channel"}


class _Later(Exception):
    """Slack does not answer this now."""


class Gap:
    """A time in which things may have been said unheard; `read` are the conversations of which that is settled."""

    def __init__(self, since: float) -> None:
        self.since = since
        self.read = set[str]()


class CatchUp:
    """Knows whether there is a gap. `known` is set when we know who we are, by which mentions are told."""

    def __init__(
        self,
        entrance: Entrance,
        api: WebApi,
        pace: Pace,
        turns: Turns,
        *,
        known: trio.Event,
        report: Report,
        now: Callable[[], float],
    ) -> None:
        self._entrance, self._api, self._pace, self._turns = entrance, api, pace, turns
        self._known, self._report, self._now = known, report, now
        self._heard = self._kept = 0.0
        self._gap: Gap | None = None
        self._opened = trio.Event()
        self._told = set[str]()

    def restore(self, kept: str) -> None:
        """Take up the moment of an earlier life; without one there is nothing that could have been missed."""
        self._heard = max(self._heard, float(kept or 0))

    def doubt(self) -> None:
        """A connection stands after there was none."""
        if self._heard > 0:
            since = self._heard - _MARGIN_SECONDS if self._gap is None else self._gap.since
            self._gap = Gap(max(since, self._now() - LONGEST_SECONDS))
            self._opened.set()

    def cursor(self, messages: Iterable[Message]) -> Cursor | None:
        """Return the moment to be committed with messages, when it is time to; not before a gap is closed."""
        newest = max(each.sent_at for each in messages)
        if self._gap is not None or newest - self._kept < _EVERY_SECONDS:
            return None
        self._kept = newest
        return Cursor(CURSOR, f"{newest:.6f}")

    def heard(self, messages: Iterable[Message]) -> None:
        """Messages are committed."""
        self._heard = max(self._heard, *(each.sent_at for each in messages))

    async def before(self, place: Conversation, take: Take) -> None:
        """Take first what was missed in the conversation of a message whose turn it is."""
        if self._gap is None or place.id in self._gap.read or is_person(place.id):
            return
        with trio.move_on_after(_PATIENCE_SECONDS):
            await self._known.wait()
        if self._known.is_set():
            try:
                await self._fill(place.id, _KINDS[place.kind], take, patience_seconds=_PATIENCE_SECONDS)
            except _Later:
                pass  # it is read with the others: late, and not lost

    async def run(self, take: Take) -> None:
        """Close each gap; runs for ever."""
        await self._known.wait()
        while True:
            await self._opened.wait()
            self._opened = trio.Event()
            await self._close(take)
            if not self._opened.is_set():
                self._gap = None

    async def _close(self, take: Take) -> None:
        tries, left = 0, [""]
        while left and tries < _MOST_TRIES:
            try:
                left = await self._left(await self._rooms(), take)
                tries += 1
            except _Later:
                pass  # Slack is away: that says nothing about the conversations
            if left:
                await trio.sleep(_AGAIN_SECONDS)
        if left:
            self._tell(f"What was said in {', '.join(left[:10])} while no connection stood cannot be read.")

    async def _left(self, rooms: Mapping[str, str], take: Take) -> list[str]:
        """Read the conversations that are not read yet; returns those that could not be."""
        left = []
        for room, kind in rooms.items():
            turn = self._turns.take(room)
            with turn:
                await turn.comes()
                try:
                    await self._fill(room, kind, take, patience_seconds=inf)
                except _Later:
                    left.append(room)
        return left

    async def _fill(self, room: str, kind: str, take: Take, *, patience_seconds: float) -> None:
        """Take what was missed in a conversation whose turn is ours. Raises `_Later`."""
        gap = self._gap
        if gap is None or room in gap.read:
            return
        for post in await self._said(room, gap.since, patience_seconds):
            event = {**post, "type": "message", "channel": room, "channel_type": kind, "event_ts": text(post, "ts")}
            for message in self._entrance.event({"event": event}):
                if not await take(message):
                    raise _Later
        gap.read.add(room)

    async def _said(self, room: str, since: float, patience_seconds: float) -> list[dict[str, Any]]:
        """Return what was said since, in order, in the threads too that stand under the last posts."""
        asked: dict[str, Any] = {"channel": room, "limit": _MOST_POSTS}
        page = await self._ask("conversations.history", asked, patience_seconds)
        posts = _objects(page, "messages")
        threads = [text(post, "ts") for post in posts if seconds_of(text(post, "latest_reply")) >= since]
        more = page.get("has_more") is True and all(_at(post) >= since for post in posts)
        if more or len(threads) > _MOST_THREADS:
            self._tell(
                f"In {room} more was missed than is read back: the last messages are heard, and not all threads."
            )
        for thread in threads[:_MOST_THREADS]:
            below = await self._ask(
                "conversations.replies", {**asked, "ts": thread, "oldest": f"{since:.6f}"}, patience_seconds
            )
            posts += _objects(below, "messages")
        fresh = {text(post, "ts"): post for post in posts if _at(post) >= since}
        return sorted(fresh.values(), key=_at)

    async def _rooms(self) -> dict[str, str]:
        """Return the conversations that we are in and what each is, direct ones first. Raises `_Later`."""
        return {**await self._rooms_of(_DIRECT), **await self._rooms_of(_OTHERS)}

    async def _rooms_of(self, types: str) -> dict[str, str]:
        rooms: dict[str, str] = {}
        asked: dict[str, Any] = {"types": types, "exclude_archived": True, "limit": _MOST_ROOMS}
        for _ in range(_MOST_ROOMS):  # a page may have less than what was asked for
            page = await self._ask("users.conversations", asked, inf)
            rooms |= {text(room, "id"): _kind(room) for room in _objects(page, "channels")}
            asked["cursor"] = text(table(page, "response_metadata"), "next_cursor")
            if not asked["cursor"]:
                return rooms
            if len(rooms) >= _MOST_ROOMS:
                break
        self._tell(f"The first {_MOST_ROOMS} conversations of the kind {types} are read back, and no more.")
        return rooms

    async def _ask(self, method: str, arguments: dict[str, Any], patience_seconds: float) -> Mapping[str, Any]:
        """Return Slack's answer; an empty one where it never gives one. Raises `_Later`."""
        if await self._pace.turn(patience_seconds=patience_seconds) is not None:
            raise _Later
        try:
            said = await self._api.call(method, arguments, form=True)
        except NotAnswered as unheard:
            self._obey(unheard.receipt)
            raise _Later from unheard
        if not said.ok:
            self._refused(method, said)
            return {}
        return said.document

    def _refused(self, method: str, said: Said) -> None:
        receipt = receipt_for(said)
        self._obey(receipt)
        if isinstance(receipt, Deferred | Unknown):
            raise _Later
        scopes = text(said.document, "needed") or "channels:read, groups:read, im:read and mpim:read"
        way_out = f"; give the app {scopes} and install it again" if said.error == "missing_scope" else ""
        self._tell(f"What was said while no connection stood is not heard: {method} says {said.error}{way_out}.")

    def _obey(self, receipt: object) -> None:
        if isinstance(receipt, Deferred) and receipt.after_seconds and not receipt.offline:
            self._pace.hold(receipt.after_seconds)

    def _tell(self, why: str) -> None:
        """Tell of it once: the next outage would repeat it."""
        if why not in self._told and len(self._told) < _MOST_TOLD:
            self._told.add(why)
            self._report(EnvelopeRefused(self._entrance.account.name, "missed", why))


def _objects(page: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    return [each for each in listed(page, key) if isinstance(each, dict)]


def _at(post: Mapping[str, Any]) -> float:
    return seconds_of(text(post, "ts"))


def _kind(room: Mapping[str, Any]) -> str:
    """Say what a conversation is, as events do."""
    if room.get("is_im") is True:
        return "im"
    return "group" if room.get("is_mpim") is True or room.get("is_private") is True else "channel"
