"""Calls to the homeserver's client API, and what its answers mean for a delivery.

Everything carries the as_token; `user` speaks as one of our ghosts instead of the bot. Sends are idempotent:
the same transaction id gives the same event again, so an unknown outcome may be tried again.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import Struct

from gateway.channels.matrix_settings import Settings
from gateway.channels.postbox import moment_of, pause_of, receipt_of
from gateway.message.receipt import Bounced, Deferred, Delivered, Receipt
from gateway.ports import Kit
from protocols.errors import UnknownAfterSend
from protocols.http1.messages import Fields

CLIENT = "/_matrix/client/v3"
# Sends and joins answer with a few hundred bytes; a list of members beyond this is no direct room.
ANSWER_BYTES = 64 * 1024
# Nothing goes through before a person has put the token right; the return of the connection wakes what waited.
_CREDENTIAL_SECONDS = 300.0


class Answer(Struct, frozen=True):
    """What the homeserver said: a status, the object of its body, and how long to wait when it said so.

    `at` is when, by its own clock; by ours where it does not tell.
    """

    status: int
    told: dict[str, Any]
    after_seconds: float | None = None
    at: float = 0.0

    @property
    def ok(self) -> bool:
        """It did what was asked."""
        return 200 <= self.status < 300

    @property
    def code(self) -> str:
        """Matrix's name of the error, or ''."""
        code = self.told.get("errcode")
        return code if type(code) is str else ""

    @property
    def words(self) -> str:
        """The error in words, for a person."""
        return f"The homeserver answered {self.status} {self.code} {self.told.get('error', '')}".strip()


class Homeserver:
    """One homeserver and our standing with it."""

    def __init__(self, settings: Settings, kit: Kit) -> None:
        self._root = settings.homeserver_url.rstrip("/")
        self._kit = kit
        self._authorization = ("Authorization", f"Bearer {settings.as_token.reveal()}")

    @property
    def headers(self) -> Fields:
        """What proves who we are."""
        return (self._authorization,)

    def url(self, path: str, user: str = "") -> str:
        """Return the whole address of a path, speaking as `user`."""
        return f"{self._root}{path}" + (f"?user_id={quote(user, safe='')}" if user else "")

    async def call(
        self, method: str, path: str, body: Any = None, *, user: str = "", body_bytes: int = ANSWER_BYTES
    ) -> Answer:
        """Ask once. Raises `NothingSent` or `UnknownAfterSend` when there is no answer."""
        headers, sent = self.headers, b""
        if body is not None:
            headers, sent = (*headers, ("Content-Type", "application/json")), msgspec.json.encode(body)
        answered = await self._kit.http.request(
            method, self.url(path, user), headers=headers, body=sent, body_bytes=body_bytes
        )
        return read_answer(answered, now=self._kit.now())

    async def send(self, room: str, kind: str, txn: str, content: dict[str, Any], *, user: str = "") -> Answer:
        """Send an event; the same `txn` sends it once, however often it is tried."""
        return await self.call("PUT", f"{room_path(room)}/send/{kind}/{segment(txn)}", content, user=user)


def room_path(room: str) -> str:
    """Return the path of a room."""
    return f"{CLIENT}/rooms/{segment(room)}"


def ping_path(settings: Settings) -> str:
    """Return the path that makes the homeserver call us (specification 1.7)."""
    return f"/_matrix/client/v1/appservice/{segment(settings.id)}/ping"


def segment(text: str) -> str:
    """Encode an identifier as one segment of a path."""
    return quote(text, safe="")


def read_answer(answered: Any, *, now: float) -> Answer:
    """Read an HTTP answer. A success that is no JSON object came from something else: nobody knows what it did."""
    told: Any = None
    try:
        told = msgspec.json.decode(answered.body) if answered.body else {}
    except (ValueError, RecursionError) as error:
        if 200 <= answered.status < 300:
            raise UnknownAfterSend("what answered is no homeserver: its answer is no JSON") from error
    told = told if type(told) is dict else {}
    milliseconds = told.get("retry_after_ms")
    pause = pause_of(answered.headers.get("Retry-After"), now=now)
    if pause is None and type(milliseconds) is int and milliseconds >= 0:
        pause = min(milliseconds / 1000, 86_400.0)
    at = moment_of(answered.headers.get("Date"))
    return Answer(answered.status, told, pause, now if at is None else at)


def receipt_for(answer: Answer) -> Receipt:
    """Say what an answer to a send means. A token that is not known is the operator's to repair; replies wait."""
    if answer.ok:
        event_id = answer.told.get("event_id")
        return Delivered(event_id if type(event_id) is str else "")
    if answer.code == "M_DUPLICATE_ANNOTATION":
        return Delivered()  # the reaction stands there: an earlier attempt arrived
    if answer.status == 429:
        return Deferred(answer.words, answer.after_seconds)
    if answer.status == 401:
        why = f"{answer.words}; as_token must be the one in the registration file."
        return Deferred(why, _CREDENTIAL_SECONDS, offline=True)
    if answer.code:
        if answer.status >= 500:
            return Deferred(answer.words, answer.after_seconds)
        return Bounced(f"{answer.words}.")
    # An answer without Matrix's form came from a proxy before the homeserver.
    again = receipt_of(answer.status)
    if isinstance(again, Deferred) and answer.after_seconds is not None:
        return Deferred(again.why, answer.after_seconds)
    return again
