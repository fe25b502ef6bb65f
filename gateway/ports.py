"""The seams a newcomer implements, and what each side may rely on. One page, nothing else.

`Channel` adapts a platform, `Hook` changes or stops messages, `Provider` answers model
calls, `Action` is something a rule may do, `Journal` keeps what was accepted. Everything
that crosses a seam is a frozen value.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

from msgspec import Struct

from gateway.files import MediaStore
from gateway.message.envelope import Delivery
from gateway.message.lifecycle import DeliveryState, InboundState
from gateway.message.message import Conversation, Message
from gateway.message.receipt import Receipt
from gateway.notices import Report
from gateway.records import DeliveryRow, InboundRow, Outcome, Recovered, Work
from protocols.http1.messages import Request, Response

if TYPE_CHECKING:
    from protocols.hub.exchange import Exchange


class Traits(Struct, frozen=True, kw_only=True):
    """What a platform can do. `text_limit` counts `text_unit`s; 0 means no limit.

    `tokens` is a regular expression for what a cut must not part (a mention, a link in the platform's own form). Where
    the limit depends on the conversation, the channel implements `Cutting` instead. `typing_seconds`: how often
    `Typing.typing` is repeated while a reply is made; 0 where the platform has no such thing.
    `idempotent`: a delivery sent twice under one id arrives once, so an unknown outcome may
    be retried. `dedupe_seconds`: longer than the platform's own retry ladder. `checks_deletions`: the platform lets
    nobody delete who may not, so that a moderator's deletion counts like the author's.
    """

    text_limit: int = 0
    text_unit: Literal["points", "utf16", "bytes"] = "points"
    tokens: str = ""
    idempotent: bool = False
    can_edit: bool = False
    checks_deletions: bool = False
    can_stream: bool = False
    can_react: bool = False
    has_threads: bool = False
    takes_media: bool = False
    typing_seconds: float = 0.0
    dedupe_seconds: float = 86_400.0
    sends_at_once: int = 16


class Accepted(Struct, frozen=True):
    """Committed under this envelope id; acknowledge the platform now."""

    id: str


class Duplicate(Struct, frozen=True):
    """Known already, as this envelope; acknowledge the platform, nothing else happens."""

    id: str


class Refused(Struct, frozen=True):
    """Not taken: say so to the platform, which may come again after `retry_after` seconds."""

    why: str
    retry_after: float = 1.0


Acceptance = Accepted | Duplicate | Refused


class Cursor(Struct, frozen=True):
    """How far a channel has read its platform; committed together with the messages it covers."""

    name: str
    value: str


class Inlet(Protocol):
    """The door through which one channel hands over messages; made by the gateway, one per channel."""

    def offer(
        self,
        messages: Sequence[Message],
        then: Callable[[Sequence[Acceptance]], None],
        cursor: Cursor | None = None,
    ) -> None:
        """Take messages without waiting; `then` runs in the loop after the commit, in commit order.

        It gets an acceptance for each; a cursor that came alone and could not be committed gives one refusal.
        """

    async def accept(self, messages: Sequence[Message], cursor: Cursor | None = None) -> Sequence[Acceptance]:
        """Take messages and return after the commit; waits while the gateway, not their conversation, is full."""

    async def cursor(self, name: str) -> str:
        """Return the last committed cursor of that name, or ''."""

    def connected(self, state: str, why: str = "") -> None:
        """Tell `oclaw status` how the connection to the platform stands; a platform that is down is no crash."""

    def wake(self, conversation: Conversation | None = None, only: Callable[[Delivery], bool] | None = None) -> None:
        """Try the deferred deliveries to a conversation (or all, or `only` such) now: it is reachable again."""


class Channel(Protocol):
    """An adapter to one platform under one account."""

    name: str
    platform: str
    traits: Traits

    async def run(self, inlet: Inlet, *, task_status: Any) -> None:
        """Live: call `task_status.started()` when able to serve, then hold sockets until cancelled.

        Raising is a crash and restarts the channel with backoff; bad credentials are raised
        as `SettingError`, which ends it as failed. A webhook has nothing to hold and sleeps for ever.
        """

    async def deliver(self, delivery: Delivery) -> Receipt:
        """Make one attempt. Runs concurrently for different conversations, never for the same one.

        Returns a `Receipt`; raising counts as `Unknown`. The caller cancels it at the attempt's deadline, which
        also counts as `Unknown`; a channel that knows better (nothing was sent) catches nothing and says so.
        """

    def address_of(self, message: Message) -> dict[str, Any]:
        """Return what a reply to `message` needs in its metadata to find its way (a reply URL, a token); often {}."""


class Prompt(Protocol):
    """What a channel has besides when most of its attempts need no waiting before they are sent."""

    def deliver_now(self, delivery: Delivery, deadline: float, then: Callable[[Receipt], None]) -> bool:
        """Begin an attempt at once and return True; `then` gets its receipt, by `deadline` (on Trio's clock).

        False when it would have to wait: nothing was sent, and `deliver` is called instead.
        """


class Arrived(Struct, frozen=True):
    """A webhook request held these messages; `answer` makes the response once they are committed.

    `wait_seconds`: the caller of the one message asks for its replies in the response, and waits so long.
    """

    messages: tuple[Message, ...]
    answer: Callable[[Sequence[Acceptance]], Response]
    cursor: Cursor | None = None
    wait_seconds: float = 0.0


class Webhook(Protocol):
    """What a channel has besides when its platform calls over HTTP."""

    def receive(self, request: Request, now: float) -> Arrived | Response | Awaitable[Arrived | Response]:
        """Verify (raw bytes first), decode and normalise. A `Response` alone refuses or answers a handshake.

        Plain and quick: it runs on the loop. An awaitable is for platforms whose check needs the network.
        """


class Routed(Protocol):
    """What a webhook has besides when its platform calls paths of its own choice, which nobody can configure there.

    `paths` are prefixes such as "/_matrix/app/v1/". They are served as they are and, for gateways with several such
    accounts, below `/channels/<name>`; `receive` gets the request with the path that was called. `body_bytes` may be
    more than `[listen] max_body_bytes`: the platform's own bound for one call.
    """

    paths: tuple[str, ...]
    body_bytes: int

    def claims(self, request: Request) -> bool:
        """Tell whether a call is for this account, where several have the path; claimed by none, the first gets it."""


class Sockets(Protocol):
    """What a channel has besides when its clients hold WebSocket connections to the gateway."""

    async def converse(self, exchange: Exchange) -> None:
        """Serve one client from its upgrade request to the end: refuse by `answer`, or `upgrade` and talk.

        Runs in a task of its own and may outlive a restart of the channel's `run`.
        """


class Awaited(Protocol):
    """What a channel has besides when callers may wait for replies, or fetch them under `…/messages/<id>`."""

    def admit(self, request: Request, now: float) -> Response | None:
        """Refuse a caller that may not ask; None lets it in."""

    def render(self, result: Result) -> Response:
        """Tell what became of a message of this channel."""


class Streaming(Protocol):
    """What a channel has besides when it can show a reply while it is being written."""

    async def stream(self, delivery: Delivery, pieces: AsyncIterator[str]) -> Receipt:
        """Send the pieces as they come; the delivery's message is empty until the end. Ends honestly when cut.

        One that cannot be shown so is declined by returning `Deferred` before any piece is read: then the model is
        asked for the whole, and that comes to `deliver` as if this had not been called.
        """


class Typing(Protocol):
    """What a channel has besides when its platform can show that an answer is being made."""

    async def typing(self, conversation: Conversation, *, working: bool) -> None:
        """Show it, again every `Traits.typing_seconds` while a pipeline waits for a model; `working=False` ends it.

        Only decoration: what it raises is counted and forgotten.
        """


class Cutting(Protocol):
    """What a channel has besides when the limit of a text depends on where it goes."""

    def cut(self, reply: Message) -> Sequence[str]:
        """Return the text in pieces, each of which becomes a delivery of its own. Pure, and quick."""


class Doctored(Protocol):
    """What a channel has besides when `oclaw doctor` can try it against its platform."""

    async def doctor(self, tell: Callable[[Finding], None]) -> None:
        """Connect and authenticate as `run` would, tell what was found step by step, and leave nothing behind.

        The caller sets the deadline. Raising is a finding, too: the last one.
        """


class Card(Struct, frozen=True, kw_only=True):
    """What a channel type can do, in words for `oclaw channels list`; a plugin module has one as `CARD`."""

    transports: tuple[str, ...] = ()
    hears: tuple[str, ...] = ()
    says: tuple[str, ...] = ()
    limits: str = ""
    tested: str = ""


class Finding(Struct, frozen=True):
    """One thing that was tried: whether it went well, and what to do if not, or (a warning) lest it soon will not."""

    ok: bool
    what: str
    way_out: str = ""


class Kit(Struct, frozen=True, kw_only=True):
    """What the gateway gives every channel, hook and provider when it is built. Times are epoch seconds."""

    report: Report
    now: Callable[[], float]
    random: Callable[[int], bytes]
    http: Any  # protocols.http_client.HttpClient; untyped here so that fakes need not inherit
    config_dir: str = ""
    state_dir: str = ""
    media: MediaStore | None = None


class Result(Struct, frozen=True, kw_only=True):
    """What became of an accepted message: `why` for the operator, `tell` for the sender, the replies in order.

    `channel` is where it came in: an endpoint shows a result only to callers of that channel.
    """

    envelope_id: str
    state: InboundState
    channel: str = ""
    why: str = ""
    tell: str = ""
    replies: tuple[Message, ...] = ()


class Results(Protocol):
    """Where an endpoint asks what became of a message (`Prefer: wait`, `GET .../messages/<id>`)."""

    async def find(self, envelope_id: str) -> Result | None:
        """Read the result as it stands now; None for an id that is unknown or past retention."""

    async def wait(self, envelope_id: str) -> Result | None:
        """Return when the message's walk has ended or already has; None as `find`. The caller sets the deadline."""


# ---- hooks, models, actions -------------------------------------------------------------------


class HookContext(Struct, frozen=True):
    """What a hook may know besides the message. `envelope_id` is its idempotency key: hooks may run again."""

    envelope_id: str
    stage: Literal["inbound", "outbound"]
    channel: str
    attempt: int
    received_at: float


Hook = Callable[..., Any]
"""`hook(message)` or `hook(message, context)`, plain or async; gets a mutable draft, returns it, a new one or None."""


class ModelCall(Struct, frozen=True, kw_only=True):
    """One question to a model: the turns so far, oldest first, and what limits the answer."""

    model: str
    turns: tuple[Turn, ...]
    max_tokens: int = 0
    temperature: float | None = None
    options: dict[str, Any] = {}


class Turn(Struct, frozen=True):
    """One utterance: who spoke, and the text."""

    role: Literal["system", "user", "assistant"]
    text: str


class ModelAnswer(Struct, frozen=True, kw_only=True):
    """What a model said, and what it cost."""

    text: str
    finish: str = "stop"
    input_tokens: int = 0
    output_tokens: int = 0


class Provider(Protocol):
    """The API that serves one or more models."""

    def answer(self, call: ModelCall) -> ModelAnswer | Awaitable[ModelAnswer]:
        """Answer at once when no waiting is needed (the walk goes straight on), else return an awaitable.

        Raises `ModelError`, which says whether trying again may help.
        """

    def stream(self, call: ModelCall) -> AsyncIterator[str]:
        """Give the answer in pieces as they come."""


class Journal(Protocol):
    """The durable store. One writer; what is submitted commits in order of submission, in groups.

    `submit` never waits: `done` runs in the loop, after the commit (FULL sync) that holds the work, in order of
    submission. `done=None` lets the work ride along with the next commit that somebody waits for, at the latest
    after a second. Every `async` method reads a consistent snapshot beside the writer.
    """

    def submit(self, work: Work, done: Callable[[Outcome], None] | None = None) -> None: ...

    @property
    def backlog(self) -> int:
        """Works submitted and not yet committed."""

    @property
    def failing(self) -> str:
        """Why the journal cannot write at the moment, or ''."""

    @property
    def sync_seconds(self) -> float:
        """How long the disk itself took for the latest commit."""

    @property
    def stuck_seconds(self) -> float:
        """For how long the commit under way has lasted so far; 0 between commits."""

    def recover(self, blamed: Collection[str] = ()) -> AsyncIterator[Recovered]:
        """Read back all that is unfinished, once, at start, after committing an attempt more for what is `blamed`."""

    async def message(self, envelope_id: str) -> InboundRow | None: ...

    async def delivery(self, delivery_id: str) -> DeliveryRow | None: ...

    async def deliveries_of(self, envelope_id: str) -> Sequence[DeliveryRow]: ...

    async def inbound_in(
        self, state: InboundState, *, limit: int, after_seq: int = 0, latest: bool = False
    ) -> Sequence[InboundRow]:
        """List messages in one state, oldest first, or with `latest` the newest ones first."""

    async def deliveries_in(
        self, state: DeliveryState, *, limit: int, after_seq: int = 0, channel: str = "", latest: bool = False
    ) -> Sequence[DeliveryRow]:
        """List deliveries in one state, oldest first, or with `latest` the newest ones first."""

    async def deliveries_to(self, destination: bytes, *, after_seq: int, limit: int) -> Sequence[DeliveryRow]:
        """Return what is not delivered of one destination, oldest first."""

    async def turns(self, lane: bytes, *, limit: int) -> Sequence[tuple[InboundRow, Sequence[DeliveryRow]]]:
        """Return the last finished exchanges of a conversation, oldest first: the history a model is shown."""

    async def cursor(self, channel: str, name: str) -> bytes: ...

    async def digests(self, *, after: bytes, limit: int) -> Sequence[bytes]:
        """Return a page of the dedupe digests that are known, in their order, beginning behind `after`."""

    async def tally(self) -> Mapping[str, int]:
        """Count rows by state, as 'inbound.accepted' or 'delivery.pending'."""
