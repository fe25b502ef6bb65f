"""The answers that a Markdown file holds, however it was saved and whatever stands in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.models import faq
from gateway.ports import Kit, ModelCall, Turn

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
    asked = ModelCall(model="faq", turns=(Turn("user", "opening hours?"),))
    assert model.answer(asked).text == "Nine to five."
