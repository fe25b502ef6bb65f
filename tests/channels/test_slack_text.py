"""Slack's way of writing, both ways."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.channels.slack_text import cut, emoji_of, name_of, read, written
from gateway.message.message import nfc


@pytest.mark.parametrize(
    "markdown, mrkdwn",
    [
        ("a < b & c > d", "a &lt; b &amp; c &gt; d"),
        ("**bold** and *italic* and ~~gone~~", "*bold* and _italic_ and ~gone~"),
        ("# Title", "*Title*"),
        ("[a & b](https://x.y/?a=1&b=2)", "<https://x.y/?a=1&amp;b=2|a &amp; b>"),
        ("`a < b`", "`a &lt; b`"),
        ("```python\nif a < b:\n    **no**\n```", "```\nif a &lt; b:\n    **no**\n```"),
        ("ask @U0ANN00001, please", "ask <@U0ANN00001>, please"),
        ("ask <@U0ANN00001>", "ask <@U0ANN00001>"),
        ("<!channel> <!here> @channel", "&lt;!channel&gt; &lt;!here&gt; @channel"),
        ("mail@USERS.example", "mail@USERS.example"),
    ],
)
def test_what_a_model_writes_is_put_into_slacks_words(markdown, mrkdwn):
    assert written(markdown, "markdown") == mrkdwn


@pytest.mark.parametrize(
    "raw, plain",
    [
        ("<@U0ANN00001>", "@ann"),
        ("<@U0XXX00001>", "@U0XXX00001"),
        ("<#C1|ops> <#C2>", "#ops #C2"),
        ("<!subteam^S1|@team> <!date^1^{date}|today>", "@team today"),
        ("<https://x.y> <https://x.y|x.y>", "https://x.y [x.y](https://x.y)"),
        ("<mailto:a@b.c|a@b.c>", "a@b.c"),
        ("&amp;lt; is &lt;", "&lt; is <"),
        ("<> < a", "<> < a"),
    ],
)
def test_what_slack_sends_is_put_into_peoples_words(raw, plain):
    assert read(raw, {"U0ANN00001": "ann"}) == plain


@given(st.text(max_size=200))
@settings(max_examples=100)
def test_nothing_written_is_a_token_but_a_mention_of_a_person_and_reading_gives_it_back(text):
    out = written(text, "plain")
    assert "<" not in out.replace("<@", "") and read(out, {}) == nfc(text)


@given(st.text(st.sampled_from("ab &<*`\n"), max_size=700), st.integers(100, 300))
@settings(max_examples=60)
def test_every_piece_fits_as_slack_counts_it(text, limit):
    assert all(len(written(piece, "markdown")) <= limit for piece in cut(text, limit, "markdown"))


def test_reactions_go_by_slacks_names_and_are_shown_as_people_know_them():
    assert emoji_of("thumbsup") == emoji_of("+1") == "👍"
    assert emoji_of("party_parrot") == ":party_parrot:"
    assert [name_of(each) for each in ("👍", ":party_parrot:", "tada", "❤", "two words", "🦆")] == [
        "+1", "party_parrot", "tada", "heart", "", "",
    ]  # fmt: skip
