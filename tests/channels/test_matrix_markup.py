"""The HTML of rooms reads as Markdown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.channels.matrix_events import Place, message_of
from gateway.channels.matrix_markup import markdown_of
from gateway.message.message import Message
from tests.channels.matrix_words import BOT, said

TAGS = ["b", "em", "del", "code", "pre", "a", "p", "ul", "ol", "li", "blockquote", "h2", "mx-reply", "span"]


@pytest.mark.parametrize(
    ("formatted", "markdown"),
    [
        ("<strong>a</strong> <em>b</em> <del>c</del>", "**a** *b* ~~c~~"),
        ("1 &lt; 2 &amp; 3", "1 < 2 & 3"),
        ("a<br>b<br/>c", "a\nb\nc"),
        ("<p>one</p>\n<p>two</p>", "one\n\ntwo"),
        ("<h2>Head</h2>text", "## Head\n\ntext"),
        ("see <a href='https://a.b/?c=1&amp;d=2'>this</a>", "see [this](https://a.b/?c=1&d=2)"),
        ('<a href="https://matrix.to/#/@oclaw:example.org">Oclaw</a>: hi', "Oclaw: hi"),
        ("<ul><li>one</li><li>two</li></ul><ol><li>a</li><li>b</li></ol>", "- one\n- two\n\n1. a\n2. b"),
        ("<blockquote>a<br>b</blockquote>c", "> a\n> b\n\nc"),
        ("<code>x &lt; y</code>", "`x < y`"),
        ('<pre><code class="language-py">if x:\n\n\n    y()\n</code></pre>', "```py\nif x:\n\n\n    y()\n```"),
        ("<mx-reply><blockquote>old</blockquote></mx-reply>new", "new"),
        ("<script>alert(1)</script><b>bold", "**bold**"),
        ("a</b> b", "a b"),
        ("1 < 2 and <unknown x>so</unknown>", "1 < 2 and so"),
        ("<b></b>", ""),
        ("<p>a</p>  \n \t<p>b </p>\n\n\n<p>c</p>", "a\n\nb\n\nc"),
    ],
)
def test_html_reads_as_markdown(formatted: str, markdown: str) -> None:
    assert markdown_of(formatted) == markdown


@given(st.lists(st.sampled_from([*(f"<{tag}>" for tag in TAGS), *(f"</{tag}>" for tag in TAGS), "x", "<", " \n"])))
def test_whatever_is_opened_and_closed_no_said_word_is_lost(pieces: list[str]) -> None:
    said = "".join(piece for piece in pieces if piece in ("x", "<"))
    if "<mx-reply>" not in pieces:
        found = markdown_of("".join(pieces))
        assert found.count("x") == said.count("x")


def test_what_strangers_write_costs_time_in_proportion_to_its_length() -> None:
    """Each of these took seconds or minutes with an expression that begins anew at every blank or mark."""
    size = 1_000_000
    for formatted in ("<pre>" + " " * size + "x", "<a" * size, "<ol>" + "<li>" * size, "&" * size):
        markdown_of(formatted)
    quoted = said("$1", "> <@" * size, **{"m.relates_to": {"m.in_reply_to": {"event_id": "$0"}}})
    known = dict.fromkeys(("title", "name_of", "thread_of"), lambda *_: "")
    place = Place("it", BOT, kind=lambda _: "group", is_ours=lambda _: False, markdown=markdown_of, **known)
    assert isinstance(message_of(quoted, place), Message)


def test_quotations_within_quotations_do_not_grow_beyond_what_was_written() -> None:
    formatted = "<blockquote>" * 99 + "a<br>" * 6_000
    assert len(markdown_of(formatted)) < 4 * len(formatted)
    assert markdown_of("<blockquote>" * 7 + "deep") == "> > > > > deep"
