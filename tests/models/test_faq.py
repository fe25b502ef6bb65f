"""The answers that a Markdown file holds, however it was saved and whatever stands in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.models import faq
from gateway.ports import Kit, ModelAnswer, ModelCall, Turn

CODE = """# How do I install it?
Type this:
```sh
# as root
make install
```
and wait.

~~~~
~~~
# no question
~~~~
## Where is it? ##
There.
#hashtag
# Nothing below
# The end
Over.
"""


def test_a_comment_in_a_block_of_code_is_no_question() -> None:
    entries = faq.entries_of(CODE)
    assert [question for question, _ in entries] == ["How do I install it?", "Where is it?", "The end"]
    assert entries[0][1].startswith("Type this:")
    assert "# as root\nmake install" in entries[0][1]
    assert entries[0][1].endswith("# no question\n~~~~")
    assert entries[1][1] == "There.\n#hashtag"


def test_a_long_blank_in_a_heading_costs_nothing() -> None:
    assert faq.entries_of("# a" + " " * 100_000 + "b\nx") == [("a" + " " * 100_000 + "b", "x")]


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_the_first_question_counts_whatever_the_editor_puts_before_it(tmp_path: Path, mark: str) -> None:
    (tmp_path / "faq.md").write_text(f"{mark}# Opening hours\nNine to five.\n", "utf-8")
    kit = Kit(report=lambda notice: None, now=float, random=bytes, http=None, config_dir=str(tmp_path))
    model = faq.build("faq", faq.Settings(file="faq.md"), kit)
    assert model.answer(asked("opening hours?")) == ModelAnswer(text="Nine to five.")


def asked(text: str) -> ModelCall:
    return ModelCall(model="faq", turns=(Turn("user", text),))


GUIDE = [
    ("如何退款", "退款在设置里申请。"),
    ("支持哪些支付方式?", "微信和支付宝。"),
    ("営業時間は", "九時から五時まで。"),
    ("發票", "稅號請見帳單。"),
    ("Opening hours", "Nine to five."),
]


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("我想退款,怎么办?", 0),
        ("可以用微信支付吗", 1),
        ("今日の営業時間を教えて", 2),
        ("稅", 3),
        ("what are your opening hours?", 4),
        ("天气", None),
        ("_?! ...", None),
        ("", None),
    ],
)
def test_a_question_in_a_language_without_blanks_finds_its_answer(question: str, answer: int | None) -> None:
    model = faq.Faq(GUIDE, "?")
    assert model.answer(asked(question)) == ModelAnswer(text="?" if answer is None else GUIDE[answer][1])


@pytest.mark.parametrize(
    ("question", "answer"),
    [("What's love?", "?"), ("How do I bake bread?", "?"), ("What are you?", "A shop."), ("how do I pay", "In cash.")],
)
def test_two_questions_that_share_common_words_alone_are_not_taken_for_one(question: str, answer: str) -> None:
    model = faq.Faq([("What is this?", "A shop."), ("How do I pay?", "In cash.")], "?")
    assert model.answer(asked(question)) == ModelAnswer(text=answer)


async def test_a_file_with_long_answers_is_asked_beside_the_loop() -> None:
    model = faq.Faq([(f"how do I find {number}", "as I do " * 500) for number in range(10)], "?")
    answer = model.answer(asked("how do I do it"))
    assert not isinstance(answer, ModelAnswer)
    assert (await answer).text.startswith("as I do")


async def test_a_file_of_thousands_of_questions_is_asked_beside_the_loop() -> None:
    model = faq.Faq([(f"how do I find {number}", f"{number}, in two\nlines") for number in range(2000)], "?")
    answer = model.answer(asked("how do I find 1234"))
    assert not isinstance(answer, ModelAnswer)
    assert (await answer).text == "1234, in two\nlines"
    assert [piece async for piece in model.stream(asked("find 77"))] == ["77, in two\n", "lines"]
