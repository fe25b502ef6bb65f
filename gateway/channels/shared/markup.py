"""What models write (Markdown) in the words of a platform, and mentions in the words of people. Pure.

Models write a small part of Markdown: bold, italic, struck, code, fences, links, headings. `rendered` turns
that part into a platform's own form by a table of it, a `Style`; everything else stays as it is, escaped as
the platform wants. Code is never looked into.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable

from msgspec import Struct


class Style(Struct, frozen=True, kw_only=True):
    """How a platform writes each thing: pairs are put around a text, `escape` is applied to every plain piece.

    `code` and `fence` get the escaped text inside; `fence` also the language. `link` gets label and address.
    """

    bold: tuple[str, str] = ("", "")
    italic: tuple[str, str] = ("", "")
    struck: tuple[str, str] = ("", "")
    heading: tuple[str, str] = ("", "")
    code: Callable[[str], str] = lambda text: text
    fence: Callable[[str, str], str] = lambda text, _: text
    link: Callable[[str, str], str] = lambda label, url: label if label == url else f"{label} ({url})"
    escape: Callable[[str], str] = lambda text: text
    line: str = "\n"


PLAIN = Style()
HTML = Style(
    bold=("<strong>", "</strong>"),
    italic=("<em>", "</em>"),
    struck=("<del>", "</del>"),
    heading=("<h4>", "</h4>"),
    code=lambda text: f"<code>{text}</code>",
    fence=lambda text, language: (
        f'<pre><code class="language-{html.escape(language)}">{text}</code></pre>'
        if language
        else f"<pre><code>{text}</code></pre>"
    ),
    link=lambda label, url: f'<a href="{html.escape(url)}">{label}</a>',
    escape=lambda text: html.escape(text, quote=False),
    line="<br>\n",
)

# Nothing is tried again with fewer marks: a line of nothing but marks would take the square of its length.
_FENCE = re.compile(
    r"^(?P<mark>`{3,}+|~{3,}+)[ \t]*+(?P<language>[\w+#.-]*+)[^\n]*+\n"
    r"(?P<code>.*?)(?:^(?P=mark)[ \t]*$|\Z)",
    re.MULTILINE | re.DOTALL,
)
# A backslash keeps what follows as it is. Bounded repetitions: the time stays linear whatever a model writes.
_INLINE = re.compile(
    r"(?P<kept>\\[\\`*_~\[\]#])"
    r"|(?P<tick>`{1,2})(?P<code>[^`\n]{1,2000})(?P=tick)"
    r"|\[(?P<label>[^\[\]\n]{1,500})\]\((?P<url>https?://[^\s()]{1,1000})\)"
    r"|(?:\*\*(?=\S)(?P<bold>[^*\n]{1,2000}?)(?<=\S)\*\*|__(?=\S)(?P<bold2>[^_\n]{1,2000}?)(?<=\S)__)"
    r"|~~(?=\S)(?P<struck>[^~\n]{1,2000}?)(?<=\S)~~"
    r"|(?:(?<![\w*])\*(?=[^\s*])(?P<italic>[^*\n]{1,2000}?)(?<=\S)\*(?![\w*])"
    r"|(?<!\w)_(?=[^\s_])(?P<italic2>[^_\n]{1,2000}?)(?<=\S)_(?!\w))"
    r"|^(?P<hashes>\#{1,6})[ \t]+(?P<heading>[^\n]{1,500})$",
    re.MULTILINE,
)


def rendered(markdown: str, style: Style) -> str:
    """Return a model's text in a platform's form."""
    made, at = [], 0
    for fence in _FENCE.finditer(markdown):
        made.append(_inline(markdown[at : fence.start()], style))
        made.append(style.fence(style.escape(fence["code"].rstrip("\n")), fence["language"]))
        at = fence.end()
    made.append(_inline(markdown[at:], style))
    return "".join(made)


def with_names(text: str, token: re.Pattern[str], name_of: Callable[[re.Match[str]], str]) -> str:
    """Replace a platform's mention tokens (`<@U123>`) by what people call it."""
    return token.sub(name_of, text)


def addressed(text: str, names: tuple[str, ...]) -> str | None:
    """Return what is said to one of `names` ("oclaw: hello", "@oclaw hello"), or None when it is said to nobody so."""
    stripped = text.lstrip()
    bare = stripped.removeprefix("@")
    for name in names:
        if name and bare[: len(name)].casefold() == name.casefold():
            rest = bare[len(name) :]
            if rest[:1] in (":", ",") or (bare is not stripped and (not rest or rest[0].isspace())):
                return rest.lstrip(":, \t")
    return None


def _inline(text: str, style: Style) -> str:
    made, at = [], 0
    for found in _INLINE.finditer(text):
        made.append(_plain(text[at : found.start()], style))
        made.append(_one(found, style))
        at = found.end()
    made.append(_plain(text[at:], style))
    return "".join(made)


def _one(found: re.Match[str], style: Style) -> str:
    if found["kept"]:
        return style.escape(found["kept"][1])
    if found["code"]:
        return style.code(style.escape(found["code"]))
    if found["label"]:
        return style.link(_inline(found["label"], style), found["url"])
    for names, (before, after) in (
        (("bold", "bold2"), style.bold),
        (("struck",), style.struck),
        (("italic", "italic2"), style.italic),
        (("heading",), style.heading),
    ):
        for name in names:
            if found[name]:
                return f"{before}{_inline(found[name], style)}{after}"
    raise AssertionError("the pattern matched nothing it names")


def _plain(text: str, style: Style) -> str:
    escaped = style.escape(text)
    return escaped if style.line == "\n" else escaped.replace("\n", style.line)
