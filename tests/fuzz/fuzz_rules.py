"""Feed the rule loader and the formatter whatever atheris finds: `python tests/fuzz/fuzz_rules.py SECONDS`.

Passes if nothing raises: every text is a ruleset or a list of problems, and formatting twice is
formatting once.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[2]))
with atheris.instrument_imports(include=["rules"]):
    from rules import Rejected, Ruleset, format_text, load
from tests.rules.language import VOCABULARY, Shelf
from tests.rules.test_language import FULL


def one(content: bytes) -> None:
    """One input."""
    made = load({"a.rules": content}, VOCABULARY, Shelf())
    assert isinstance(made, Ruleset | Rejected)
    if isinstance(made, Rejected):
        made.render()
    text = content.decode("utf-8", "replace")
    formatted = format_text(text)
    if isinstance(formatted, str):
        assert format_text(formatted) == formatted, formatted


if __name__ == "__main__":
    seconds = sys.argv[1] if len(sys.argv) > 1 else "60"
    one(FULL.encode())
    atheris.Setup([sys.argv[0], f"-max_total_time={seconds}", "-max_len=400", "-verbosity=0"], one)
    atheris.Fuzz()
