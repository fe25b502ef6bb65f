"""What the Events API tells, as messages. Pure: one payload in, a message, `Unknown`, or None out.

Every payload was verified, and is still not believed: a field of another type than Slack documents reads as
missing. The dedupe key of a post is (channel, ts) and not the event's id, since one post can come as `message` and as
`app_mention`, or be read in its conversation, where no workspace is named; Slack's redeliveries have the same ts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from gateway.channels.shared.media import kind_of
from gateway.channels.slack_fields import listed, table, text
from gateway.channels.slack_text import emoji_of, mentions, read, without_address
from gateway.message.message import Attachment, Conversation, ConversationKind, Message, MessageType, Sender, nfc

_NEW = frozenset(("", "file_share", "thread_broadcast", "me_message", "bot_message"))
# More files than Slack lets anybody post at once would be somebody trying our patience.
_MOST_FILES = 20
_TAKEN = frozenset(("type", "channel", "user", "text", "ts", "thread_ts", "files", "subtype", "message",
                    "previous_message"))  # fmt: skip

# What stands around an event; the last two say that Slack told of it before and was not heard.
_ENVELOPE = ("team_id", "enterprise_id", "api_app_id", "event_id", "event_context", "is_ext_shared_channel",
             "retry_num", "retry_reason")  # fmt: skip


class Account(Struct, frozen=True):
    """Who we are in the workspace, as far as it is known: the bot's user id, bot id, app id, name."""

    name: str
    platform: str = "slack"
    user: str = ""
    bot: str = ""
    app: str = ""
    shown_as: str = ""
    in_threads: bool = False


class NotForUs(Struct, frozen=True):
    """An event that no message is made of: of a `kind` not known here, or known and left alone (`known`)."""

    kind: str
    known: bool = False


def message_of(payload: Mapping[str, Any], me: Account) -> Message | NotForUs:
    """Make a message of one `event_callback` payload."""
    event = table(payload, "event")
    kind = text(event, "type") or "nothing"
    match kind:
        case "message" | "app_mention":
            return _post(payload, event, me)
        case "reaction_added" | "reaction_removed":
            return _reaction(payload, event, me)
        case _:
            return NotForUs(kind)


def hidden_file(file: Any) -> str:
    """Return the id of a file of which Slack tells no more before it is asked (Slack Connect), '' of any other."""
    asked = isinstance(file, dict) and file.get("file_access") == "check_file_info"
    return text(file, "id") if asked else ""


def own_user(payload: Mapping[str, Any]) -> str:
    """Return the bot's user id as the payload itself tells it, or ''."""
    for each in listed(payload, "authorizations"):
        if isinstance(each, dict) and each.get("is_bot") is True:
            return text(each, "user_id")
    return ""


def _post(payload: Mapping[str, Any], event: Mapping[str, Any], me: Account) -> Message | NotForUs:
    subtype = text(event, "subtype")
    match subtype:
        case "message_changed":
            inner, before = table(event, "message"), table(event, "previous_message")
            if text(inner, "subtype") == "tombstone":
                return _deleted(payload, event, text(inner, "ts"), before, me)
            # Slack also reports links that unfold, pins and thread counters as changes.
            if text(inner, "text") == text(before, "text"):
                return NotForUs("message_changed", known=True)
            return _said(payload, event, inner, me, edit=True)
        case "message_deleted":
            return _deleted(payload, event, text(event, "deleted_ts"), table(event, "previous_message"), me)
        case "message_replied":
            return NotForUs("message_replied", known=True)
        case _ if subtype in _NEW:
            return _said(payload, event, event, me, edit=False)
        case _:
            return NotForUs(f"message.{subtype}")


def _said(
    payload: Mapping[str, Any], event: Mapping[str, Any], post: Mapping[str, Any], me: Account, *, edit: bool
) -> Message | NotForUs:
    channel, ts, raw = text(event, "channel"), text(post, "ts"), text(post, "text")
    if not channel or not ts:
        return NotForUs("message_without_place")
    named = mentions(raw, me.user) or text(event, "type") == "app_mention"
    files = _files(post)
    key = f"{channel}/{ts}"
    if edit:
        key += f"/edited/{text(table(post, 'edited'), 'ts') or text(event, 'event_ts')}"
    return Message(
        channel=me.name,
        platform=me.platform,
        id=ts,
        type=type_of(files, raw),
        action="edit" if edit else "new",
        content=read(without_address(raw, me.user), {me.user: me.shown_as}),
        sender=_sender(post, me),
        dedupe_key=key,
        target_id=ts if edit else "",
        conversation=_conversation(channel, text(event, "channel_type"), _thread(post, ts, channel, me)),
        # A reply in a thread that we began is said to us.
        mentions_me=named or (bool(me.user) and text(post, "parent_user_id") == me.user),
        attachments=files,
        reply_to=_parent(post, ts),
        sent_at=seconds_of(ts),
        metadata=_rest(payload, event, post),
    )


def _deleted(
    payload: Mapping[str, Any], event: Mapping[str, Any], ts: str, before: Mapping[str, Any], me: Account
) -> Message | NotForUs:
    channel = text(event, "channel")
    if not channel or not ts:
        return NotForUs("message_without_place")
    return Message(
        channel=me.name,
        platform=me.platform,
        id=text(event, "event_ts") or text(event, "ts"),
        type="event",
        action="delete",
        sender=_sender(before, me),
        dedupe_key=f"{text(payload, 'team_id')}/{channel}/{ts}/deleted",
        target_id=ts,
        conversation=_conversation(channel, text(event, "channel_type"), _thread(before, ts, channel, me)),
        sent_at=seconds_of(text(event, "event_ts")),
        metadata=_rest(payload, event, {}),
    )


def _reaction(payload: Mapping[str, Any], event: Mapping[str, Any], me: Account) -> Message | NotForUs:
    item = table(event, "item")
    channel, ts, user = text(item, "channel"), text(item, "ts"), text(event, "user")
    name, stamp = text(event, "reaction"), text(event, "event_ts")
    if not channel or not ts:
        return NotForUs("reaction_to_no_message", known=True)
    removed = text(event, "type") == "reaction_removed"
    return Message(
        channel=me.name,
        platform=me.platform,
        id=stamp,
        type="reaction",
        action="delete" if removed else "new",
        content=emoji_of(name),
        sender=Sender(id=user),
        dedupe_key=f"{text(payload, 'team_id')}/{channel}/{ts}/{user}/{name}/{'-' if removed else '+'}/{stamp}",
        target_id=ts,
        conversation=_conversation(channel, "", ""),
        mentions_me=bool(me.user) and text(event, "item_user") == me.user,
        sent_at=seconds_of(stamp),
        metadata=_rest(payload, event, {}),
    )


def _sender(post: Mapping[str, Any], me: Account) -> Sender:
    """Say who spoke; whatever carries our app's id or our bot's is our own user."""
    user, bot = text(post, "user"), text(post, "bot_id")
    profile = table(post, "bot_profile")
    app = text(post, "app_id") or text(profile, "app_id")
    if (me.bot and bot == me.bot) or (me.app and app == me.app):
        return Sender(id=me.user or bot, name=me.shown_as, is_bot=True)
    name = text(profile, "name") or text(post, "username")
    return Sender(id=user or bot, name=nfc(name), is_bot=bool(bot) or text(post, "subtype") == "bot_message")


def _conversation(channel: str, channel_type: str, thread: str) -> Conversation:
    kind: ConversationKind
    match channel_type or channel[:1]:
        case "im" | "D":
            kind = "direct"
        case "mpim" | "group" | "G":
            kind = "group"
        case _:
            kind = "channel"
    return Conversation(id=channel, kind=kind, thread=thread)


def _thread(post: Mapping[str, Any], ts: str, channel: str, me: Account) -> str:
    thread = text(post, "thread_ts")
    if thread and thread != ts:  # the first post of a thread was said where the thread is, and not in it
        return thread
    return ts if me.in_threads and not channel.startswith("D") else ""


def _parent(post: Mapping[str, Any], ts: str) -> str:
    thread = text(post, "thread_ts")
    return thread if thread != ts else ""


def _files(post: Mapping[str, Any]) -> tuple[Attachment, ...]:
    files = [each for each in listed(post, "files")[:_MOST_FILES] if isinstance(each, dict)]
    return tuple(attachment_of(each) for each in files if text(each, "url_private"))


def attachment_of(file: Mapping[str, Any]) -> Attachment:
    """Read what Slack tells of a file."""
    size = file.get("size")
    return Attachment(
        kind=kind_of(text(file, "mimetype")),
        mime=text(file, "mimetype"),
        name=nfc(text(file, "name") or text(file, "title")),
        size=size if type(size) is int and 0 <= size < 1 << 63 else 0,
        url=text(file, "url_private"),
    )


def type_of(files: tuple[Attachment, ...], said: str) -> MessageType:
    """Say what a post with these files and this text is."""
    return "text" if not files or (said and len(files) > 1) else files[0].kind


def _rest(payload: Mapping[str, Any], event: Mapping[str, Any], post: Mapping[str, Any]) -> dict[str, Any]:
    """Keep what the message's own fields do not say. Slack's verification token is a credential and is not kept."""
    rest = {key: value for key, value in event.items() if key not in _TAKEN}
    if post is not event:
        rest |= {key: value for key, value in post.items() if key not in _TAKEN}
    subtype = text(event, "subtype")
    if subtype:
        rest["subtype"] = subtype
    if hidden := [each for each in listed(post, "files")[:_MOST_FILES] if hidden_file(each)]:
        rest["files"] = hidden
    for key in _ENVELOPE:
        if payload.get(key) is not None:
            rest[key] = payload[key]
    return rest


def seconds_of(ts: str) -> float:
    """Read a ts, `1700000000.000100`, in seconds since the epoch; 0 when it is none."""
    whole, _, part = ts.partition(".")
    if not (whole.isascii() and whole.isdigit() and len(whole) < 12):
        return 0.0
    return float(f"{whole}.{part}") if part.isascii() and part.isdigit() and len(part) < 10 else float(whole)
