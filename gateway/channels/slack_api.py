"""Calls of Slack's Web API, and what each answer means for a delivery.

Slack says almost everything with HTTP 200 and `{"ok": false, "error": word}`. What counts for the outbox is whether
the call may have worked: a word of refusal says no, `internal_error` and a lost answer say nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

import msgspec
import trio
from msgspec import Struct

from gateway.channels.postbox import pause_of, receipt_of
from gateway.channels.shared.reconnect import OFFLINE_SECONDS
from gateway.channels.slack_fields import text
from gateway.message.receipt import Bounced, Deferred, Delivered, Receipt, Unknown, Unsent
from gateway.ports import Kit
from protocols.errors import BadUrl, NothingSent, UnknownAfterSend
from protocols.http1.messages import Fields

# A page of history with metadata is the largest answer asked for.
_ANSWER_BYTES = 4 * 1024 * 1024
# Where answers to slash commands may go; the address is Slack's own, signed, and still only believed on this host.
RESPONSES = "https://hooks.slack.com/"
# The token is refused: nothing will go through before a person has acted, and everything may afterwards.
CREDENTIALS = frozenset((
    "invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired", "user_removed_from_team",
    "not_allowed_token_type",
))  # fmt: skip
_LATER = frozenset(("ratelimited", "rate_limited", "service_unavailable", "request_timeout", "team_added_to_org"))
# "It is possible that some aspect of the operation succeeded", says Slack of these two.
_NOBODY_KNOWS = frozenset(("internal_error", "fatal_error"))
# A 503 says that nothing was done; these say that something broke on the way.
_DOUBTFUL = frozenset((500, 502, 504))
# What was asked for is the case already.
_DONE = frozenset(("already_reacted", "no_reaction"))
_WAYS_OUT = {
    "not_in_channel": "Invite the bot to the channel, or give the app the scope chat:write.public.",
    "channel_not_found": "The bot must be a member of a private channel to write there.",
    "missing_scope": "Give the app the scope it lacks and install it again.",
    "msg_too_long": "Lower text_limit.",
    "is_archived": "The channel is archived.",
}
_CREDENTIAL_SECONDS = 300.0
# Slack answers within a second. A call that hangs must not be the last one that a connection waits for; and as an
# attempt may take 20 s, there is still time to tell whether anything was sent.
_CALL_SECONDS = 12.0


class Said(Struct, frozen=True):
    """Slack's answer: `ok` and the document, or the word `error`; `after_seconds` is what it asked to wait."""

    ok: bool
    error: str = ""
    document: dict[str, Any] = {}
    after_seconds: float | None = None
    scopes: str = ""


class NotAnswered(Exception):
    """The call got no word of Slack's: `receipt` says what that means.

    `doubtful`: the call may have worked all the same.
    """

    def __init__(self, receipt: Receipt, *, doubtful: bool = False) -> None:
        super().__init__(receipt.why if not isinstance(receipt, Delivered) else "")
        self.receipt, self.doubtful = receipt, doubtful


class WebApi:
    """Slack's Web API under one token."""

    def __init__(
        self,
        kit: Kit,
        base_url: str,
        token: str,
        *,
        offline: Callable[[], bool] = lambda: False,
        away: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`offline` says that Slack cannot be reached in another way either: it is away, and this is no attempt.

        `away` is told why nobody was reached for a minute, and '' when somebody is again.
        """
        self._kit, self._base_url, self._offline, self._tell_away = kit, base_url, offline, away
        self._headers = (("Authorization", f"Bearer {token}"), ("Content-Type", "application/json; charset=utf-8"))
        self._form_headers = (self._headers[0], ("Content-Type", "application/x-www-form-urlencoded"))
        # On Trio's clock; `inf` while calls get through.
        self._unreached_since = inf
        self._away = False

    async def call(self, method: str, arguments: dict[str, Any], *, form: bool = False) -> Said:
        """POST one method; `form` for the methods that read no JSON. Raises `NotAnswered`.

        Cancelled, nobody knows what became of the call. It ends by itself, whatever becomes of the network.
        """
        body = _form(arguments) if form else msgspec.json.encode(arguments)
        headers = self._form_headers if form else self._headers
        try:
            answered = await self._post(self._base_url + method, headers, body)
        except BadUrl as error:
            raise NotAnswered(Bounced(str(error))) from error
        except NothingSent as error:
            raise NotAnswered(self._unreached(str(error))) from error
        except UnknownAfterSend as error:
            self._reached()
            raise NotAnswered(Unknown(str(error)), doubtful=True) from error
        self._reached()
        return self._read(answered)

    async def respond(self, response_url: str, said: str) -> Receipt:
        """Answer a slash command by the address that came with it; it works for half an hour, and five times."""
        if not response_url.startswith(RESPONSES):
            return Bounced(f"{response_url[:100]!r} is no address of Slack's for answers.")
        body = msgspec.json.encode({"response_type": "in_channel", "text": said})
        headers = (("Content-Type", "application/json; charset=utf-8"),)
        try:
            answered = await self._post(response_url, headers, body)
        except NothingSent as error:
            return Unsent(str(error))
        except UnknownAfterSend as error:
            return Unknown(str(error))
        return self._receipt(answered)

    async def _post(self, url: str, headers: Fields, body: bytes) -> Any:
        sent = trio.Event()
        with trio.move_on_after(_CALL_SECONDS):
            return await self._kit.http.request(
                "POST", url, headers=headers, body=body, body_bytes=_ANSWER_BYTES, on_send=sent.set
            )
        if sent.is_set():
            raise UnknownAfterSend(f"Slack did not answer within {_CALL_SECONDS:g} s.")
        raise NothingSent(f"There was no connection to Slack within {_CALL_SECONDS:g} s.")

    def _unreached(self, why: str) -> Deferred:
        """Tell a moment of trouble, in which probes go on, from a Slack that is away."""
        now = trio.current_time()
        self._unreached_since = min(self._unreached_since, now)
        if now - self._unreached_since >= OFFLINE_SECONDS and not self._away:
            self._away = True
            self._tell_away(why)
        if self._away or self._offline():
            return Deferred(why, OFFLINE_SECONDS, offline=True)
        return Unsent(why)

    def _reached(self) -> None:
        self._unreached_since = inf
        if self._away:
            self._away = False
            self._tell_away("")

    def _receipt(self, answered: Any) -> Receipt:
        """Read a status. 410 is Slack's word for an archived channel, which may come back: it disables nothing."""
        receipt = receipt_of(answered.status, answered.headers.get("Retry-After"), now=self._kit.now())
        return Bounced(receipt.why) if isinstance(receipt, Bounced) else receipt

    def _read(self, answered: Any) -> Said:
        retry_after = answered.headers.get("Retry-After")
        document = _object(answered.body)
        if answered.status != 200 or document is None:
            receipt = self._receipt(answered)
            if isinstance(receipt, Delivered):
                receipt = Unknown("Something answered that is not Slack's API: no JSON object came back.")
            raise NotAnswered(receipt, doubtful=answered.status in _DOUBTFUL or isinstance(receipt, Unknown))
        after = pause_of(retry_after, now=self._kit.now()) if retry_after else None
        scopes = answered.headers.get("X-OAuth-Scopes")
        return Said(document.get("ok") is True, text(document, "error") or "no reason", document, after, scopes)


def receipt_for(said: Said, *, remote_id: str = "") -> Receipt:
    """Turn an answer into what the outbox acts on."""
    if said.ok or said.error in _DONE:
        return Delivered(remote_id)
    if said.error in CREDENTIALS:
        return Deferred(f"Slack does not take the bot token: {said.error}.", _CREDENTIAL_SECONDS, offline=True)
    if said.error in _LATER:
        return Deferred(f"Slack answered {said.error}.", said.after_seconds)
    if said.error in _NOBODY_KNOWS:
        return Unknown(f"Slack answered {said.error}: it does not know itself what became of the call.")
    return Bounced(f"Slack refuses this: {said.error}. {_WAYS_OUT.get(said.error, '')}".rstrip())


def _form(arguments: dict[str, Any]) -> bytes:
    from urllib.parse import urlencode

    encode = msgspec.json.encode
    plain = {key: value if isinstance(value, str) else encode(value).decode() for key, value in arguments.items()}
    return urlencode(plain).encode("ascii")


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        document = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None
