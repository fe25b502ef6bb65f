"""The built-in hooks: what they let through, what they change and what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Reject, SettingError
from gateway.hooks import allowlist, max_length, rate_limit, sensitive_words
from gateway.message.chunking import size
from gateway.message.draft import Draft
from gateway.message.message import Conversation, Message, Sender
from gateway.ports import Kit

texts = st.text("aAbßẞSs ſİıﬁé中文\n*", max_size=30)


class Wall:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.time = 1_000.0

    def now(self) -> float:
        return self.time


def kit(config_dir: object = "", clock: Wall | None = None) -> Kit:
    return Kit(
        report=lambda notice: None,
        now=(clock or Wall()).now,
        random=bytes,
        http=None,
        config_dir=str(config_dir),
    )


def after(hook: Callable[[Draft], Any], content: str = "", *, sender: str = "ann", conversation: str = "c1") -> str:
    draft = Draft(
        Message(channel="web", content=content, sender=Sender(sender), conversation=Conversation(conversation))
    )
    assert hook(draft) is None
    return draft.finish().content


# ---- sensitive_words ------------------------------------------------------------------------------


def words_hook(folder: Any, *words: str, **settings: Any) -> Callable[[Draft], Any]:
    (folder / "words.txt").write_text("\n".join(words), "utf-8")
    return sensitive_words.build(sensitive_words.Settings(words_file="words.txt", **settings), kit(folder))


def test_a_listed_word_is_refused_whatever_its_case(tmp_path):
    hook = words_hook(tmp_path, "# comment", "", "Verboten", "STRASSE", "敏感词", "two words")
    for text in ("das ist VERBOTEN!", "die Straße", "这是敏感词吗", "one, TWO WORDS"):
        with pytest.raises(Reject, match="sensitive words"):
            after(hook, text)
    assert after(hook, "a comment on two  words") == "a comment on two  words"


def test_a_listed_word_is_masked_and_the_rest_stays(tmp_path):
    hook = words_hook(tmp_path, "strasse", "two words", "words of", "敏感词", action="mask", mask="#")
    assert after(hook, "Die Straße, Two Words of 敏感词.") == "Die ######, ### ##### ## ###."
    assert after(hook, "ẞß straßen") == "ẞß ######n"


def test_whole_words_are_told_from_parts(tmp_path):
    hook = words_hook(tmp_path, "ass", action="mask", whole_words=True)
    assert after(hook, "class, ass! passe") == "class, ***! passe"


@given(text=texts, word=texts.filter(lambda word: word.strip() and "\n" not in word and "#" not in word))
def test_masking_keeps_the_length_and_leaves_no_match(tmp_path_factory, text, word):
    hook = words_hook(tmp_path_factory.mktemp("words"), word, action="mask", mask="#")
    masked = after(hook, text)
    assert len(masked) == len(Draft(Message(channel="x", content=text)).content)
    assert word.strip().casefold() not in masked.casefold()


def test_a_list_that_cannot_be_used_is_told(tmp_path):
    with pytest.raises(SettingError, match=r"missing\.txt"):
        sensitive_words.build(sensitive_words.Settings(words_file="missing.txt"), kit(tmp_path))
    with pytest.raises(SettingError, match="no word stands"):
        words_hook(tmp_path, "# nothing")
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(SettingError, match="not UTF-8 at byte 0"):
        sensitive_words.build(sensitive_words.Settings(words_file="bytes.txt"), kit(tmp_path))


# ---- allowlist ------------------------------------------------------------------------------------


def test_listed_senders_and_conversations_pass_and_nobody_else():
    hook = allowlist.build(
        allowlist.Settings(senders=("ann", "*@example.org", "[bot]?"), conversations=("!ops:*",)), kit()
    )
    for sender, conversation in (("ann", "x"), ("b@example.org", "x"), ("[bot]1", "x"), ("eve", "!ops:hs")):
        after(hook, sender=sender, conversation=conversation)
    for sender, conversation in (("Ann", "x"), ("ann2", "x"), ("b@example.org.evil", "x"), ("b1", "x"), ("", "ops")):
        with pytest.raises(Reject, match="list"):
            after(hook, sender=sender, conversation=conversation)


def test_an_empty_allowlist_is_a_mistake():
    with pytest.raises(SettingError):
        allowlist.Settings()


def test_a_hostile_id_on_which_backtracking_would_never_end_is_refused():
    hook = allowlist.build(allowlist.Settings(senders=("*a*a*a*a*a*b",)), kit())
    with pytest.raises(Reject):
        after(hook, sender="a" * 20_000)


# ---- rate_limit -----------------------------------------------------------------------------------


def limit_hook(clock: Wall, **settings: Any) -> Callable[[Draft], Any]:
    return rate_limit.build(rate_limit.Settings(**settings), kit(clock=clock))


def test_a_sender_may_speak_so_often_and_again_when_time_has_passed():
    clock = Wall()
    hook = limit_hook(clock, messages=2, seconds=10)
    after(hook), after(hook)
    with pytest.raises(Reject, match="2 messages in 10 s"):
        after(hook)
    after(hook, sender="bob")
    clock.time += 5
    after(hook)
    with pytest.raises(Reject):
        after(hook)
    clock.time += 1000
    after(hook), after(hook)
    with pytest.raises(Reject):
        after(hook)


def test_a_clock_that_is_set_back_costs_nobody_anything():
    clock = Wall()
    hook = limit_hook(clock, messages=2, seconds=10)
    after(hook)
    clock.time -= 500
    after(hook)
    with pytest.raises(Reject):
        after(hook)


def test_where_no_sender_is_named_the_conversation_is_counted():
    hook = limit_hook(Wall(), messages=1)
    after(hook, sender="", conversation="c1")
    after(hook, sender="", conversation="c2")
    with pytest.raises(Reject):
        after(hook, sender="", conversation="c1")


def test_the_least_recent_senders_are_forgotten():
    hook = limit_hook(Wall(), messages=1, burst=2, max_senders=2)
    after(hook, sender="a"), after(hook, sender="a")
    after(hook, sender="b"), after(hook, sender="c")
    after(hook, sender="a")
    after(hook, sender="c")
    with pytest.raises(Reject):
        after(hook, sender="c")


# ---- max_length -----------------------------------------------------------------------------------


def length_hook(**settings: Any) -> Callable[[Draft], Any]:
    return max_length.build(max_length.Settings(**settings), kit())


def test_a_long_text_is_refused_in_the_unit_configured():
    hook = length_hook(limit=8, unit="bytes")
    assert after(hook, "😀😀") == "😀😀"
    with pytest.raises(Reject, match="12 bytes, 8 are allowed"):
        after(hook, "😀😀😀")


def test_a_long_text_is_cut_at_a_word():
    assert after(length_hook(limit=12, action="truncate"), "one two three four") == "one two…"


def test_a_fence_that_is_cut_stays_closed():
    hook = length_hook(limit=30, action="truncate")
    assert after(hook, "```py\n" + "line = 1\n" * 9 + "```") == "```py\nline = 1\nline = 1\n```\n…"


@given(texts, st.sampled_from(["points", "utf16", "bytes"]), st.integers(10, 40))
def test_what_is_left_fits(text, unit, limit):
    assert size(after(length_hook(limit=limit, unit=unit, action="truncate"), text), unit) <= limit


def test_an_ending_that_leaves_no_room_is_a_mistake():
    with pytest.raises(SettingError):
        max_length.Settings(limit=5, action="truncate", ending="(cut)")
