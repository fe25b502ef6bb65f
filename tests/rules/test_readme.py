"""The README's examples run, and its sample file is canonical and passes its own tests."""

from __future__ import annotations

import re
from pathlib import Path

from rules import Ruleset, format_text, run_tests
from tests.rules.language import loaded

README = (Path(__file__).parents[2] / "rules" / "README.md").read_text(encoding="utf-8")


def test_the_python_example_makes_a_ruleset():
    example = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert example is not None
    scope: dict[str, object] = {}
    exec(example[1], scope)
    assert isinstance(scope["made"], Ruleset)


def test_the_sample_file_is_canonical_and_passes():
    sample = re.search(r"```\n(LET vips.*?)```", README, re.DOTALL)
    assert sample is not None
    assert format_text(sample[1]) == sample[1]
    outcomes = run_tests(loaded(sample[1]))
    assert isinstance(outcomes, list)
    assert [outcome.failures for outcome in outcomes] == [()]


def test_every_file_of_the_folder_is_named():
    folder = Path(__file__).parents[2] / "rules"
    names = {path.name for path in folder.glob("*.py")} - {"__init__.py"}
    assert [name for name in sorted(names) if f"`{name}`" not in README] == []
