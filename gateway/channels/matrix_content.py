"""What our own events hold: text with its HTML, edits, and to what a reply belongs. Pure."""

from __future__ import annotations

import html
from typing import Any

from gateway.channels.matrix_settings import Settings
from gateway.channels.shared.markup import HTML, rendered
from gateway.message.message import Message

# What clients that know no edits show; the whole text stands in the new content.
_FALLBACK = 200


def text_content(markdown: str, reply_as: str) -> dict[str, Any]:
    """Return the content of a message: Markdown as it is, and as HTML where that shows more."""
    # The empty mentions keep clients from looking for names in the text (specification 1.7).
    content: dict[str, Any] = {"msgtype": f"m.{reply_as}", "body": markdown, "m.mentions": {}}
    formatted = rendered(markdown, HTML)
    if formatted != html.escape(markdown, quote=False).replace("\n", HTML.line):
        content |= {"format": "org.matrix.custom.html", "formatted_body": formatted}
    return content


def edit_of(content: dict[str, Any], target: str) -> dict[str, Any]:
    """Return the event that replaces the content of `target`."""
    body = content["body"]
    return {
        "msgtype": content["msgtype"],
        "body": "* " + (body if len(body) <= _FALLBACK else body[:_FALLBACK] + "…"),
        "m.mentions": {},
        "m.new_content": content,
        "m.relates_to": {"rel_type": "m.replace", "event_id": target},
    }


def relation_of(message: Message, settings: Settings) -> dict[str, Any]:
    """Say to what a reply belongs: its thread, and what it answers where that helps; who asked is then mentioned."""
    where, quoted = message.conversation, message.reply_to
    asked = message.metadata.get("asked_by")
    mentions = {"m.mentions": {"user_ids": [asked]} if type(asked) is str and quoted else {}}
    if where.thread:
        # The fallback is for clients without threads, which show it as a reply to what was answered.
        thread = {"rel_type": "m.thread", "event_id": where.thread, "is_falling_back": True}
        return mentions | {"m.relates_to": {**thread, "m.in_reply_to": {"event_id": quoted or where.thread}}}
    if quoted and (settings.quote == "always" or (settings.quote == "groups" and where.kind != "direct")):
        return mentions | {"m.relates_to": {"m.in_reply_to": {"event_id": quoted}}}
    return {}
