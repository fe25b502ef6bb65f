"""The generic webhook: JSON over HTTP in, JSON over HTTP out, signed after Standard Webhooks.

`receive` is the gateway's hot path: plain calls, compiled pointers, no task. Its order is size,
who calls, freshness, form; the dedupe follows in the journal and the 202 after its commit.
Replies go to the payload's address when it is on the allow-list, else to `deliver_url`; a caller
that waits (`Prefer: wait`) or has no address gets them from this gateway instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from math import inf
from typing import Any, Protocol, assert_never

import msgspec
import trio

from gateway.channels.allowed import Destinations
from gateway.channels.field_map import Misfit, describe, look, message_of, parse_pointer
from gateway.channels.postbox import pause_of, receipt_of
from gateway.channels.reply_body import ReplyBody, Telling
from gateway.channels.shared.media import vetted_client
from gateway.channels.signatures import Forged, signature_headers, verify
from gateway.channels.trust import Neighbours, Tokens, bearer_of, is_json
from gateway.channels.webhook_answers import answer, result_answer
from gateway.channels.webhook_settings import Settings, field_map, inbound_keys, outbound_keys
from gateway.errors import in_words
from gateway.message.envelope import Delivery, delivery_id
from gateway.message.message import Message
from gateway.message.receipt import Bounced, Deferred, Delivered, Receipt, Unknown, Unsent
from gateway.notices import EnvelopeRefused, RequestFailed
from gateway.ports import Arrived, Inlet, Kit, Result, Traits
from protocols.errors import AddressRefused, BadUrl, HttpClientError, NothingSent
from protocols.http1.messages import Fields, Request, Response
from protocols.problem import problem

PLATFORM = "webhook"
# The one key of a message's metadata that is ours; a payload's value of that name is dropped.
OURS = "oclaw"
HOPS = "Oclaw-Hops"
# Nobody reads the body of an answer to a webhook, but one that is cut off counts as no answer: room for an error page.
_ANSWER_BYTES = 1024 * 1024
# What a server says of its door, and not of the message: while it is deployed, or a token there is changed. At the
# operator's own address that passes or is mended; at one that a sender named it is his answer, and final.
_NOT_LET_IN = frozenset((401, 403, 404, 405))
_decode = msgspec.json.Decoder().decode


class Posts(Protocol):
    """What is needed of the HTTP client."""

    async def request(
        self, method: str, url: str, *, headers: Fields = (), body: bytes = b"", body_bytes: int | None = None
    ) -> Any: ...

    def send_now(
        self,
        method: str,
        url: str,
        *,
        headers: Fields = (),
        body: bytes = b"",
        body_bytes: int | None = None,
        deadline: float = inf,
        then: Callable[[Any], None],
    ) -> bool: ...

    async def listen(self, *, task_status: Any = trio.TASK_STATUS_IGNORED) -> None: ...

    def close(self) -> None: ...


class WebhookChannel:
    """One configured webhook. `outside` makes the client for addresses that a payload named; it vets them."""

    platform = PLATFORM
    # Longer than the senders' retry ladder of about three days; idempotent, as `webhook-id` is stable.
    traits = Traits(idempotent=True, dedupe_seconds=7 * 86_400.0, sends_at_once=64)

    def __init__(self, name: str, settings: Settings, kit: Kit, outside: Callable[[], Posts] | None = None) -> None:
        self.name = name
        self._settings, self._kit = settings, kit
        self._fields = field_map(settings)
        self._body = ReplyBody(settings.reply_body)
        self._keys, self._own_keys = inbound_keys(name, settings), outbound_keys(name, settings)
        self._tokens = Tokens({str(i): token.reveal() for i, token in enumerate(settings.tokens, 1)})
        self._neighbours = Neighbours(settings.hosts, settings.origins)
        self._to = Destinations(settings.reply_to_allowed, settings.private_networks, settings.deliver_url)
        self._id_steps = parse_pointer(settings.fields["id"]) if settings.fields.get("id") else ()
        reply_to = settings.fields.get("reply_to")
        self._reply_to, self._reply_steps = reply_to, parse_pointer(reply_to) if reply_to else ()
        self._make_outside = outside or partial(vetted_client, self._to, failed=self._answer_failed)
        self._outside = self._make_outside()

    async def run(self, inlet: Inlet, *, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        """Read the answers to replies that were sent at once; requests come through `receive`."""
        task_status.started()
        inlet.connected("ready")
        try:
            await self._outside.listen()
        finally:
            # What is kept open to strangers ends with the channel; a restart begins with a client of its own.
            self._outside.close()
            self._outside = self._make_outside()

    # -- in ---------------------------------------------------------------------------------------

    def receive(self, request: Request, now: float) -> Arrived | Response:
        """Verify, decode and normalise one POST; anything else gets a problem document."""
        if request.method != "POST":
            return problem(405, "Messages are sent here with POST.", headers=(("Allow", "POST"),))
        most = self._settings.body_bytes
        if len(request.body) > most:
            return self._refuse(413, "too_large", f"The body has {len(request.body)} bytes; at most {most} are taken.")
        identity = self._identify(request, now)
        if isinstance(identity, Response):
            return identity
        kind = request.headers.index.get(b"content-type", b"")
        if not is_json(kind):
            found = repr(kind[:40].decode("latin-1")) if kind else "missing"
            return self._refuse(415, "content_type", f"The Content-Type is {found}; it must be application/json.")
        try:
            payload = _decode(request.body)
        except (ValueError, RecursionError) as error:
            return self._misfit(Misfit("", f"no JSON ({error})" if request.body else "empty", "a JSON object"))
        if type(payload) is not dict:
            return self._misfit(Misfit("", describe(payload), "a JSON object"))
        return self._normalise(request, payload, identity)

    def admit(self, request: Request, now: float) -> Response | None:
        """Decide whether this caller may ask what became of a message: by the same credentials as for sending."""
        identity = self._identify(request, now)
        return identity if isinstance(identity, Response) else None

    def render(self, result: Result) -> Response:
        """Tell a caller that waited, or asks later, what became of its message."""
        replies = [
            self._body.fill(self._telling(reply, delivery_id(result.envelope_id, index), self._kit.now()))
            for index, reply in enumerate(result.replies)
        ]
        return result_answer(result, replies)

    def _identify(self, request: Request, now: float) -> str | Response:
        """Return the delivery's id ('' when its form of authentication has none), or the refusal."""
        settings = self._settings
        match settings.auth:
            case "signature":
                proof = verify(request.headers, request.body, self._keys, now=now, tolerance=settings.tolerance_seconds)
                return self._refuse(401, proof.reason, proof.why) if isinstance(proof, Forged) else proof.id
            case "bearer":
                if not self._tokens.holder(bearer_of(request)):
                    challenge = (("WWW-Authenticate", "Bearer"),)
                    return self._refuse(401, "bad_token", "A valid bearer token is needed.", challenge)
            case "none":
                objection = self._neighbours.objection(request)
                if objection:
                    return self._refuse(403, "not_local", objection)
            case never:
                assert_never(never)
        given = request.headers.index.get(b"webhook-id")
        return "" if given is None or len(given) > 256 else given.decode("latin-1")

    def _normalise(self, request: Request, payload: dict[str, Any], identity: str) -> Arrived | Response:
        payload.pop(OURS, None)
        found = self._fields.read(payload)
        if isinstance(found, Misfit):
            return self._misfit(found)
        if found.reply and not self._to.allows(found.reply["to"]):
            wanted = "an address on this channel's allow-list"
            return self._misfit(Misfit(str(self._reply_to), describe(found.reply["to"]), wanted))
        index, wait, hops = request.headers.index, 0.0, 0
        if b"prefer" in index:
            wait = min(_wait_of(index[b"prefer"]), self._settings.longest_wait_seconds)
        if b"oclaw-hops" in index:
            hops = _number(index[b"oclaw-hops"])
            if hops >= self._settings.most_hops:
                return self._refuse(
                    508, "loop", f"The message went through {hops} gateways already; it goes in circles."
                )
        if wait or hops:
            payload[OURS] = {"wait": bool(wait), "hops": hops}
        message = message_of(found, channel=self.name, platform=PLATFORM, dedupe_key=identity, rest=payload)
        return Arrived((message,), answer, wait_seconds=wait)

    def _misfit(self, misfit: Misfit) -> Response:
        place = misfit.pointer or "The body"
        detail = f"{place} is {misfit.found}; it must be {misfit.wanted}."
        self._kit.report(EnvelopeRefused(self.name, "bad_field", detail))
        return problem(422, detail, members={"errors": [msgspec.to_builtins(misfit)]})

    def _refuse(self, status: int, reason: str, detail: str, headers: Fields = ()) -> Response:
        self._kit.report(EnvelopeRefused(self.name, reason, detail))
        return problem(status, detail, headers=headers)

    # -- out --------------------------------------------------------------------------------------

    def address_of(self, message: Message) -> dict[str, Any]:
        """Keep the payload's id as it came, the address it named, and how far it has come."""
        rest = message.metadata
        source = look(rest, self._id_steps) if self._id_steps else None
        address: dict[str, Any] = {"id": message.id if source is None else source}
        if self._reply_steps and (reply_to := look(rest, self._reply_steps)):
            address["reply_to"] = reply_to
        if OURS in rest:
            address[OURS] = rest[OURS]
        return address

    def circuit_of(self, delivery: Delivery) -> str:
        """Name what fails and is disabled together: the URL."""
        return self._address(delivery)

    async def deliver(self, delivery: Delivery) -> Receipt:
        """POST the reply once. Without an address it stays here, to be fetched by whoever sent the message."""
        post = self._post(delivery)
        if not isinstance(post, _Post):
            return post
        try:
            answered = await post.client.request(
                "POST", post.url, headers=post.headers, body=post.body, body_bytes=_ANSWER_BYTES
            )
        except HttpClientError as error:
            return _failed(error)
        return self._receipt(answered, post.url)

    def deliver_now(self, delivery: Delivery, deadline: float, then: Callable[[Receipt], None]) -> bool:
        """POST the reply at once when a kept connection is free; `deliver` is for everything else."""
        post = self._post(delivery)
        if not isinstance(post, _Post):
            return False

        def answered(answer: Any) -> None:
            then(_failed(answer) if isinstance(answer, HttpClientError) else self._receipt(answer, post.url))

        try:
            return post.client.send_now(
                "POST",
                post.url,
                headers=post.headers,
                body=post.body,
                body_bytes=_ANSWER_BYTES,
                deadline=deadline,
                then=answered,
            )
        except BadUrl:
            return False

    def _post(self, delivery: Delivery) -> _Post | Receipt:
        url = self._address(delivery)
        if not url:
            return Delivered()
        if not self._to.allows(url):
            return Bounced(f"{url} is not on this channel's allow-list (reply_to_allowed).")
        body = self._body.write(self._telling(delivery.message, delivery.id, delivery.created_at))
        # The operator's own address is believed; one that a stranger wrote must not lead into our networks.
        client = self._kit.http if url == self._settings.deliver_url else self._outside
        return _Post(client, url, self._headers(delivery, body), body)

    def _receipt(self, answered: Any, url: str) -> Receipt:
        again = answered.headers.index.get(b"retry-after", b"").decode("latin-1")
        now = self._kit.now() if again else 0.0
        if answered.status in _NOT_LET_IN and url == self._settings.deliver_url:
            why = f"deliver_url answered {answered.status}: a deploy there, or a wrong address or token."
            return Deferred(why, pause_of(again, now=now))
        return receipt_of(answered.status, again, now=now)

    def _address(self, delivery: Delivery) -> str:
        rest = delivery.message.metadata
        if OURS in rest and _ours(rest).get("wait"):
            return ""
        return str(rest.get("reply_to") or self._settings.deliver_url)

    def _headers(self, delivery: Delivery, body: bytes) -> Fields:
        rest = delivery.message.metadata
        hops = _ours(rest).get("hops", 0) if OURS in rest else 0
        # The dot separates the parts of the signed text, so an id is better without.
        identity = delivery.id.replace(".", "_")
        signed = signature_headers(identity, body, self._own_keys, now=self._kit.now())
        return (("Content-Type", "application/json"), (HOPS, str(hops + 1)), *signed)

    def _telling(self, reply: Message, identity: str, at: float) -> Telling:
        return Telling(reply, identity, at, reply.metadata.get("id"))

    def _answer_failed(self, error: Exception) -> None:
        self._kit.report(RequestFailed(f"the answer to a reply of {self.name}", in_words(error)))


class _Post(msgspec.Struct, frozen=True):
    """One reply as a request."""

    client: Posts
    url: str
    headers: Fields
    body: bytes


def _ours(rest: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what this gateway noted of a message; a hook may have put anything in its place."""
    ours = rest[OURS]
    return ours if isinstance(ours, dict) else {}


def _failed(error: HttpClientError) -> Receipt:
    match error:
        case AddressRefused() | BadUrl():
            return Bounced(str(error))
        case NothingSent():
            return Unsent(str(error))
        case _:
            return Unknown(str(error))


def build(name: str, settings: Settings, kit: Kit) -> WebhookChannel:
    """Make the channel; raises `SettingError` for a secret that cannot be used."""
    return WebhookChannel(name, settings, kit)


def _wait_of(prefer: bytes) -> float:
    """Read `wait=N` out of Prefer (RFC 7240, section 4.3); 0 when it is not there."""
    for part in prefer.lower().split(b","):
        name, _, value = part.partition(b";")[0].partition(b"=")
        if name.strip() == b"wait":
            return float(_number(value.strip().strip(b'"')))
    return 0.0


def _number(text: bytes) -> int:
    return int(text) if text.isdigit() and len(text) < 7 else 0
