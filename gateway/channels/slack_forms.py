"""Slash commands and interactivity as messages. Pure.

Both come form-encoded over HTTP (interactivity as one field `payload` that holds JSON) and as plain JSON over Socket
Mode; from here on they are the same. `response_url` stays in the metadata: it is how a reply reaches a conversation
that the bot is not in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.channels.slack_events import Account, NotForUs
from gateway.channels.slack_fields import listed, table, text
from gateway.message.message import Conversation, Message, Sender, nfc

# A credential that Slack gave up long ago; it opens nothing, and is still not kept.
_NOT_KEPT = frozenset(("token",))


def command_of(form: Mapping[str, Any], me: Account) -> Message | NotForUs:
    """Make a message of a slash command; its content is the whole line, `/ask why`."""
    command, channel, user = text(form, "command"), text(form, "channel_id"), text(form, "user_id")
    if not command or not channel or not user:
        return NotForUs("slash_command_without_fields")
    return Message(
        channel=me.name,
        platform=me.platform,
        id=text(form, "trigger_id"),
        type="command",
        content=nfc(f"{command} {text(form, 'text')}".rstrip()),
        sender=Sender(id=user, name=nfc(text(form, "user_name"))),
        dedupe_key=f"command/{text(form, 'trigger_id')}" if text(form, "trigger_id") else "",
        conversation=_place(channel, text(form, "channel_name"), text(form, "thread_ts")),
        mentions_me=True,
        metadata={key: value for key, value in form.items() if key not in _NOT_KEPT},
    )


def interaction_of(payload: Mapping[str, Any], me: Account) -> Message | NotForUs:
    """Make an event of a click, a shortcut or a submitted view; its content is what was chosen."""
    kind, user = text(payload, "type"), table(payload, "user")
    if not kind or not text(user, "id"):
        return NotForUs("interaction_without_fields")
    channel, about = table(payload, "channel"), table(payload, "message") or table(payload, "container")
    about_ts = text(about, "ts") or text(about, "message_ts")
    trigger = text(payload, "trigger_id")
    return Message(
        channel=me.name,
        platform=me.platform,
        id=trigger,
        type="event",
        content=nfc(_chosen(payload) or text(payload, "callback_id") or kind),
        sender=Sender(id=text(user, "id"), name=nfc(text(user, "username") or text(user, "name"))),
        dedupe_key=f"interaction/{trigger}" if trigger else "",
        target_id=about_ts,
        # A view belongs to no conversation; its sender's own is where an answer can go.
        conversation=_place(text(channel, "id") or text(user, "id"), text(channel, "name"), text(about, "thread_ts")),
        mentions_me=True,
        metadata={key: value for key, value in payload.items() if key not in _NOT_KEPT},
    )


def _place(channel: str, title: str, thread: str) -> Conversation:
    direct = channel[:1] in ("D", "U", "W")
    return Conversation(id=channel, kind="direct" if direct else "channel", thread=thread, title=nfc(title))


def _chosen(payload: Mapping[str, Any]) -> str:
    """Return the values of the actions, one a line."""
    return "\n".join(_value(each) for each in listed(payload, "actions") if isinstance(each, dict))


def _value(action: Mapping[str, Any]) -> str:
    option = text(table(action, "selected_option"), "value")
    chosen = [text(each, "value") for each in listed(action, "selected_options") if isinstance(each, dict)]
    told = (text(action, f"selected_{kind}") for kind in ("user", "channel", "conversation", "date", "time"))
    return text(action, "value") or option or ", ".join(chosen) or next(filter(None, told), text(action, "action_id"))
