"""What stands in for the gateway when a channel is tested alone: its door, its results, its HTTP client.

Nothing here pretends more than the seams promise: a commit is reported when the test says so,
requests are answered from a list, and notices are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import trio
from msgspec import Struct

from gateway.message.envelope import Delivery
from gateway.message.message import Conversation, Message
from gateway.notices import Notice
from gateway.ports import Acceptance, Accepted, Cursor, Duplicate, Kit, Refused, Result
from protocols.http1.headers import Headers
from protocols.http1.messages import Fields, Peer, Request

MOMENT = 1_700_000_000.0


class FakeInlet:
    """A door that remembers dedupe keys. With `held` set, commits wait for `commit()`; `refusing` closes it."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.states: list[str] = []
        self.woken: list[Conversation | None] = []
        self.cursors: dict[str, str] = {}
        self.refusing: Refused | None = None
        self.held = False
        self._known: dict[str, str] = {}
        self.waiting: list[Callable[[], None]] = []
        self._number = count(1)

    def offer(
        self,
        messages: Sequence[Message],
        then: Callable[[Sequence[Acceptance]], None],
        cursor: Cursor | None = None,
    ) -> None:
        """Take messages, or refuse them all at once."""
        if self.refusing is not None:
            then((self.refusing,) * max(1, len(messages)))
            return

        def commit() -> None:
            if cursor is not None:
                self.cursors[cursor.name] = cursor.value
            then([self._store(message) for message in messages])

        if self.held:
            self.waiting.append(commit)
        else:
            commit()

    async def accept(self, messages: Sequence[Message], cursor: Cursor | None = None) -> Sequence[Acceptance]:
        """Take messages and return after the commit."""
        answers: list[Sequence[Acceptance]] = []
        committed = trio.Event()

        def then(acceptances: Sequence[Acceptance]) -> None:
            answers.append(acceptances)
            committed.set()

        self.offer(messages, then, cursor)
        await committed.wait()
        return answers[0]

    def commit(self) -> None:
        """Let everything commit that was held back."""
        waiting, self.waiting = self.waiting, []
        for each in waiting:
            each()

    async def cursor(self, name: str) -> str:
        """Return the last committed cursor of that name, or ''."""
        return self.cursors.get(name, "")

    def connected(self, state: str, why: str = "") -> None:
        """Note the state."""
        self.states.append(state)

    def wake(self, conversation: Conversation | None = None, only: Callable[[Delivery], bool] | None = None) -> None:
        """Note who is reachable again."""
        self.woken.append(conversation)

    def _store(self, message: Message) -> Acceptance:
        known = self._known.get(message.dedupe_key) if message.dedupe_key else None
        if known is not None:
            return Duplicate(known)
        id = f"00000000-0000-7000-8000-{next(self._number):012d}"
        self._known[message.dedupe_key] = id
        self.messages.append(message)
        return Accepted(id)


class FakeResults:
    """Results that the test puts in; `wait` returns when the id's result is there."""

    def __init__(self) -> None:
        self._results: dict[str, Result] = {}
        self._changed = trio.Event()

    def put(self, result: Result) -> None:
        """Make a result known and wake who waits for it."""
        self._results[result.envelope_id] = result
        self._changed.set()
        self._changed = trio.Event()

    async def find(self, envelope_id: str) -> Result | None:
        """Return what was put in under this id."""
        return self._results.get(envelope_id)

    async def wait(self, envelope_id: str) -> Result:
        """Return when a result was put in under this id."""
        while envelope_id not in self._results:
            await self._changed.wait()
        return self._results[envelope_id]


class Sent(Struct, frozen=True):
    """One request that a channel made."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes


class Answered(Struct, frozen=True):
    """One answer of the other side."""

    status: int
    headers: Headers
    body: bytes = b""


class FakeHttp:
    """An HTTP client whose other side answers from a list; the last answer is repeated. An exception is raised."""

    def __init__(self, *answers: Answered | Exception) -> None:
        self.answers = list(answers) or [answered(200)]
        self.sent: list[Sent] = []

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Fields = (),
        body: bytes = b"",
        body_bytes: int | None = None,
        on_send: Callable[[], object] = lambda: None,
    ) -> Answered:
        """Note the request and give the next answer."""
        await trio.lowlevel.checkpoint()
        on_send()
        self.sent.append(Sent(method, url, {name.lower(): value for name, value in headers}, body))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def send_now(self, method: str, url: str, **more: object) -> bool:
        """Decline: every request takes the ordinary way."""
        return False

    async def listen(self, *, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        """Nothing is owed."""
        task_status.started()
        await trio.sleep_forever()

    def close(self) -> None:
        """Nothing is open."""


class Bench(Struct, frozen=True):
    """A kit for one channel under test, and what can be seen of it from outside."""

    kit: Kit
    http: FakeHttp
    notices: list[Notice]


def bench(*answers: Answered | Exception, now: Callable[[], float] = lambda: MOMENT) -> Bench:
    """Make a kit whose clock stands still, whose randomness is zeros and whose HTTP client is fake."""
    notices: list[Notice] = []
    http = FakeHttp(*answers)
    return Bench(Kit(report=notices.append, now=now, random=bytes, http=http), http, notices)


def answered(status: int, **headers: str) -> Answered:
    """Make an answer; header names are written with underscores."""
    return Answered(status, Headers.of(tuple((name.replace("_", "-"), value) for name, value in headers.items())))


def request(
    method: str = "POST",
    path: str = "/channels/it",
    *,
    body: bytes = b"",
    headers: Fields = (),
    peer: str = "127.0.0.1",
    version: str = "1.1",
) -> Request:
    """Make a request as a JSON client on this machine would send it; `headers` come in place of those named alike."""
    given = {name.lower() for name, _ in headers}
    usual = (("Host", "localhost:8420"), ("Content-Type", "application/json"))
    fields = (*(field for field in usual if field[0].lower() not in given), *headers)
    return Request(method, path, path, "", version, Headers.of(fields), body, Peer(peer, 40_000))


def delivery(message: Message, *, attempt: int = 1, index: int = 0, **fields: Any) -> Delivery:
    """Make the delivery of `message`, as the outbox would; it is the `index`-th reply to an envelope."""
    return Delivery(
        id=f"00000000-0000-7000-8000-00000000000a.{index}",
        envelope_id="00000000-0000-7000-8000-00000000000a",
        message=message,
        created_at=MOMENT,
        expires_at=MOMENT + 3600,
        attempt=attempt,
        **fields,
    )
