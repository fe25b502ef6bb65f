"""Slack's way of writing, both ways: tokens and entities to plain text, Markdown to mrkdwn. Pure.

Slack escapes `&`, `<` and `>` and writes everything else that is special as `<…>`: `<@U1>` a person, `<#C1|name>` a
channel, `<!here>` a broadcast, `<https://…|label>` a link. A model reads `@U1`, `#name`, `@here` and the link; what it
writes as `@U0123ABCD` becomes a mention again. Broadcasts never do: a model must not wake a whole company.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from gateway.channels.shared.markup import Style, rendered
from gateway.message.chunking import chunk
from gateway.message.message import nfc

_TOKEN = re.compile(r"<([^<>]{1,4000})>")
_MENTION = re.compile(r"(?:&lt;)?@([UW][A-Z0-9]{7,20})(?:&gt;)?(?![A-Za-z0-9])")
# What a cut must not part: a mention as a model writes it, and a link.
TOKENS = r"@[UW][A-Z0-9]{7,20}|\[[^\[\]\n]{1,200}\]\(https?://[^\s()]{1,800}\)|https?://\S{1,800}"
# The reactions that people use; every other one travels as :name:.
_EMOJI = {
    "+1": "👍", "-1": "👎", "heart": "❤️", "joy": "😂", "tada": "🎉", "eyes": "👀", "white_check_mark": "✅", "x": "❌",
    "pray": "🙏", "fire": "🔥", "wave": "👋", "clap": "👏", "rocket": "🚀", "thinking_face": "🤔", "warning": "⚠️",
    "question": "❓", "100": "💯", "ok_hand": "👌", "raised_hands": "🙌", "smile": "😄", "cry": "😢", "star": "⭐",
}  # fmt: skip
_NAMES = {emoji.rstrip("\ufe0f"): name for name, emoji in _EMOJI.items()}
_ALIASES = {"thumbsup": "+1", "thumbsdown": "-1"}
_NAME = re.compile(r":?([a-z0-9_+'\-]{1,100}(?:::skin-tone-[2-6])?):?")


def escaped(text: str) -> str:
    """Escape what Slack would read as a token, and make mentions of people tokens."""
    plain = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MENTION.sub(r"<@\1>", plain)


MRKDWN = Style(
    bold=("*", "*"),
    italic=("_", "_"),
    struck=("~", "~"),
    heading=("*", "*"),
    code=lambda text: f"`{text}`",
    fence=lambda text, _: f"```\n{text}\n```",
    link=lambda label, url: f"<{_url(url)}|{label.replace('|', '¦')}>",
    escape=escaped,
)


def written(text: str, form: str) -> str:
    """Return a reply's text as Slack wants it: `form` says whether it is Markdown, mrkdwn or plain."""
    return rendered(text, MRKDWN) if form == "markdown" else escaped(text)


def cut(text: str, limit: int, form: str) -> tuple[str, ...]:
    """Return a text in pieces of which each, written, has at most `limit` characters, as far as halving gets there."""
    pieces: tuple[str, ...] = ()
    for size in (limit, limit // 2, limit // 5):
        # A text of nothing but & grows fivefold.
        pieces = chunk(text, max(size, 1), tokens=re.compile(TOKENS))
        if all(len(written(piece, form)) <= limit for piece in pieces):
            break
    return pieces


def read(text: str, names: Mapping[str, str]) -> str:
    """Return what Slack sent as people read it; `names` are the people that are known, by id."""
    if "<" in text:
        text = _TOKEN.sub(lambda found: _read_token(found[1], names), text)
    if "&" in text:
        text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    return nfc(text)


def mentions(text: str, user: str) -> bool:
    """Tell whether a text as Slack sent it names this user."""
    return bool(user) and (f"<@{user}>" in text or f"<@{user}|" in text)


def without_address(text: str, user: str) -> str:
    """Drop a mention of `user` from the beginning: whom a message is for is not part of what it says."""
    if not user:
        return text
    return re.sub(rf"^\s*<@{re.escape(user)}(?:\|[^<>]*)?>[\s:,]*", "", text)


def emoji_of(name: str) -> str:
    """Return a reaction as a reader sees it, or as :name:."""
    return _EMOJI.get(_ALIASES.get(name, name)) or f":{name}:"


def name_of(reaction: str) -> str:
    """Return Slack's name of a reaction given as an emoji, a name or :name:; '' when it has none."""
    known = _NAMES.get(reaction.strip().rstrip("\ufe0f"))
    if known:
        return known
    found = _NAME.fullmatch(reaction.strip())
    return found[1] if found else ""


def _read_token(token: str, names: Mapping[str, str]) -> str:
    target, _, label = token.partition("|")
    match target[:1]:
        case "@":
            return "@" + (label or names.get(target[1:]) or target[1:])
        case "#":
            return "#" + (label or target[1:])
        case "!":
            return label or "@" + target[1:].partition("^")[0]
        case _:
            url = target.removeprefix("mailto:").removeprefix("tel:")
            return url if not label or label in (url, target) else f"[{label}]({target})"


def _url(url: str) -> str:
    return url.replace("&", "&amp;").replace("<", "%3C").replace(">", "%3E").replace("|", "%7C")
