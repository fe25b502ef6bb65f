"""Slack's requests and payloads, as few particulars as matter; signed by hand, for the official SDK to check."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any
from urllib.parse import urlencode

from gateway.channels.slack import SlackChannel
from gateway.channels.slack_settings import Settings
from gateway.config.secret import Secret
from gateway.message.message import Conversation, Message
from gateway.ports import Kit
from gateway.testing.channels import MOMENT, Answered, request
from protocols.http1.headers import Headers
from protocols.http1.messages import Request

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
BOT, BOT_ID, TEAM, ROOM = "U0BOT00001", "B0BOT00001", "T0TEAM0001", "C0ROOM0001"


def settings(**given: Any) -> Settings:
    """Settings that suffice, in either mode."""
    usual = {
        "bot_token": Secret("env:B", "xoxb-1"),
        "signing_secret": Secret("env:S", SECRET),
        "app_token": Secret("env:A", "xapp-1"),
        "file_seconds": 0.0,
    }
    return Settings(**{**usual, **given})


def channel(kit: Kit, **given: Any) -> SlackChannel:
    """A channel that has been introduced already."""
    it = SlackChannel("it", settings(**given), kit)
    it._entrance.known(user=BOT, bot=BOT_ID, shown_as="oclaw")
    return it


def signed(body: bytes, *, at: float = MOMENT, kind: str = "application/json", **headers: str) -> Request:
    """Make a request as Slack signs it."""
    stamp = str(int(at))
    mac = hmac.new(SECRET.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256).hexdigest()
    usual = {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": f"v0={mac}", "Content-Type": kind}
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return request(path="/channels/it", body=body, headers=tuple({**usual, **given}.items()))


def callback(event: dict[str, Any], *, id: str = "Ev1") -> dict[str, Any]:
    """Wrap an event as the Events API does."""
    return {
        "token": "old",
        "team_id": TEAM,
        "api_app_id": "A0APP00001",
        "event": event,
        "type": "event_callback",
        "event_id": id,
        "event_time": int(MOMENT),
        "authorizations": [{"enterprise_id": None, "team_id": TEAM, "user_id": BOT, "is_bot": True}],
        "is_ext_shared_channel": False,
        "event_context": "4-ctx",
    }


def escaped(text: str) -> str:
    """Escape what people type, as Slack does."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def post(text: str, *, ts: str = "1700000000.000100", user: str = "U0ANN00001", **fields: Any) -> dict[str, Any]:
    """A message event; the text is as Slack sends it."""
    usual = {"type": "message", "channel": ROOM, "channel_type": "channel", "user": user, "text": text, "ts": ts}
    return {**usual, "event_ts": ts, "team": TEAM, **fields}


def told(event: dict[str, Any], **headers: str) -> Request:
    """A signed request that tells of an event."""
    return signed(json.dumps(callback(event)).encode(), **headers)


def form(**fields: str) -> Request:
    """A signed form, as slash commands and clicks come."""
    return signed(urlencode(fields).encode(), kind="application/x-www-form-urlencoded")


COMMAND = {
    "token": "old", "team_id": TEAM, "team_domain": "acme", "channel_id": ROOM, "channel_name": "general",
    "user_id": "U0ANN00001", "user_name": "ann", "command": "/ask", "text": "why & how", "api_app_id": "A0APP00001",
    "response_url": "https://hooks.slack.com/commands/T1/2/x", "trigger_id": "13345224609.738474920.8088930838d88f",
}  # fmt: skip


def said(document: dict[str, Any], status: int = 200, **headers: str) -> Answered:
    """An answer of the Web API."""
    fields = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Answered(status, Headers.of(fields), json.dumps(document).encode())


def posted(ts: str = "1700000001.000200") -> Answered:
    """chat.postMessage went well."""
    return said({"ok": True, "channel": ROOM, "ts": ts, "message": {}})


def reply(text: str = "hi", **fields: Any) -> Message:
    """A reply into the room."""
    return Message(channel="it", platform="slack", content=text, conversation=Conversation(ROOM, "channel"), **fields)
