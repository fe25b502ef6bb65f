"""The HTML of rooms reads as Markdown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.channels.matrix_markup import markdown_of

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
