"""A pipeline file that is wrong is told with its place, whatever is wrong with it, and never ends the gateway."""

from __future__ import annotations

import pytest

from gateway.errors import SettingError
from gateway.pipelines.spec import Pipeline, parse

STEP = "pipeline:\n  - name: a\n    model: echo\n"


def told(text: str) -> str:
    made = parse("p.yaml", "p", text, {"echo"})
    assert isinstance(made, list)
    assert all(isinstance(problem, SettingError) for problem in made)
    return "\n".join(str(problem) for problem in made)


@pytest.mark.parametrize(
    "text",
    ["[" * 200_000, "{a: " * 100_000, "- " * 200_000, "pipeline: " + "[" * 51],
    ids=["lists", "mappings", "a line of dashes", "one too many"],
)
def test_what_is_nested_without_end_is_refused_before_anything_recurses(text: str) -> None:
    assert "is nested without end; it must be at most 50 deep" in told(text)


def test_a_setting_that_is_given_twice_is_told_where_it_comes_again() -> None:
    assert told(STEP + "    model: other\n") == "p.yaml:4:5 is model for the second time; it must be given once."
    assert told(STEP + "pipeline: []\n").startswith("p.yaml:4:1 is pipeline for the second time")


def test_an_alias_is_told_where_it_stands() -> None:
    assert told("pipeline: &steps\n  - name: a\nmore: *steps\n").startswith("p.yaml:3:7 is using a YAML alias")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("at_once: 0\n", "p.yaml.at_once is 0; it must be a whole number >= 1."),
        ("history_turns: -1\n", "p.yaml.history_turns is -1; it must be a whole number >= 0."),
        ("    tries: 0\n", "p.yaml: pipeline[0].tries is 0; it must be a whole number >= 1."),
        ("    max_tokens: -5\n", "p.yaml: pipeline[0].max_tokens is -5; it must be a whole number >= 0."),
        ("    deadline_seconds: 0\n", "p.yaml: pipeline[0].deadline_seconds is 0; it must be a number > 0.0."),
        ("    deadline_seconds: .nan\n", "p.yaml: pipeline[0].deadline_seconds is nan; it must be a number > 0.0."),
        ("    tries: often\n", "p.yaml: pipeline[0].tries is a text; it must be a whole number."),
    ],
)
def test_a_number_with_which_no_message_would_ever_be_answered_is_refused(line: str, said: str) -> None:
    assert told(STEP + line) == said


def test_limits_at_their_bounds_are_taken() -> None:
    made = parse("p.yaml", "p", STEP + "    tries: 1\nat_once: 1\nhistory_turns: 0\n", {"echo"})
    assert isinstance(made, Pipeline)


@pytest.mark.parametrize(
    ("mapping", "prompt", "said"),
    [
        (
            "{context: user_message}",
            "{{ contxt }}",
            '"contxt"; it must be a name that input_mapping gives (context). Did',
        ),
        ("[user_message]", "{{ user.name }}", '"user"; it must be a name that input_mapping gives (user_message)'),
        ("{context: user_message}", "{{ context }{{", "is wrong in line 1"),
    ],
)
def test_a_prompt_that_asks_for_what_nothing_gives_is_told(mapping: str, prompt: str, said: str) -> None:
    assert said in told(f"{STEP}    input_mapping: {mapping}\n    prompt: '{prompt}'\n")


@pytest.mark.parametrize(
    "prompt",
    [
        "{{ context | upper }} {% for word in context.split() %}{{ loop.index }} {{ word }}{% endfor %}",
        "{% if context %}{% set said = context %}{% endif %}{{ said }}",
        "{% macro twice(x) %}{{ x }}{{ x }}{% endmacro %}{{ twice(context) }}{{ range(3) | list }}",
    ],
)
def test_a_prompt_may_make_names_of_its_own(prompt: str) -> None:
    made = parse(
        "p.yaml", "p", f'{STEP}    input_mapping: {{context: user_message}}\n    prompt: "{prompt}"\n', {"echo"}
    )
    assert isinstance(made, Pipeline), made
