"""A pipeline file that is wrong is told with its place, whatever is wrong with it, and never ends the gateway."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import SettingError
from gateway.pipelines.faults import MOST_FAULTS
from gateway.pipelines.reading import parse
from gateway.pipelines.spec import Pipeline, StepSpec

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
        ("at_once: 0\n", "p.yaml:4:10: at_once is 0; it must be a whole number >= 1."),
        ("history_turns: -1\n", "p.yaml:4:16: history_turns is -1; it must be a whole number >= 0."),
        (f"history_turns: {2**70}\n", f"p.yaml:4:16: history_turns is {2**70}; it must be a whole number <= 10000."),
        ("    tries: 0\n", "p.yaml:4:12: pipeline[0].tries is 0; it must be a whole number >= 1."),
        ("    max_tokens: -5\n", "p.yaml:4:17: pipeline[0].max_tokens is -5; it must be a whole number >= 0."),
        ("    deadline_seconds: 0\n", "p.yaml:4:23: pipeline[0].deadline_seconds is 0; it must be a number > 0.0."),
        (
            "    deadline_seconds: .nan\n",
            "p.yaml:4:23: pipeline[0].deadline_seconds is .nan; it must be a number > 0.0.",
        ),
        ("    temperature: hot\n", 'p.yaml:4:18: pipeline[0].temperature is "hot"; it must be a number.'),
        (
            "    input_mapping: user_message\n",
            'p.yaml:4:20: pipeline[0].input_mapping is "user_message"; it must be a mapping or a list.',
        ),
        ("    tries: often\n", 'p.yaml:4:12: pipeline[0].tries is "often"; it must be a whole number.'),
    ],
)
def test_a_value_with_which_no_message_would_ever_be_answered_is_refused(line: str, said: str) -> None:
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


EVERYTHING = """\
at_once: many
on_failure: no
pipeline:
  - name: first
    modle: echo
    tries: often
  - just words
  - name: second
    model: ehco
    worker: nobody
    input_mapping:
      said: user_mesage
      count: 7
  - name: second
    function: my:own
    input_mapping: {said: first.output}
    prompt: |
      So far:
      {{ sad }}
  - model: echo
"""


def test_all_faults_of_a_file_are_told_at_once_each_with_its_line() -> None:
    def function(place: str, reference: str) -> list[SettingError]:
        return [SettingError(place, found=f'"{reference}"', wanted="there")]

    made = parse("p.yaml", "p", EVERYTHING, {"echo"}, workers={"w"}, function=function)
    assert isinstance(made, list)
    assert [str(one).partition("; it must be")[0] for one in made] == [
        'p.yaml:1:10: at_once is "many"',
        "p.yaml:2:13: on_failure is no",
        "p.yaml:5:5: pipeline[0].modle is no setting",
        'p.yaml:6:12: pipeline[0].tries is "often"',
        "p.yaml:7:5: pipeline[1] is a text",
        'p.yaml:9:12: pipeline[2].model is "ehco"',
        "p.yaml:10:13: pipeline[2].worker is asked beside the step's model",
        'p.yaml:10:13: pipeline[2].worker is "nobody"',
        "p.yaml:13:14: pipeline[2].input_mapping.count is 7",
        'p.yaml:14:11: pipeline[3].name is "second" again',
        'p.yaml:15:15: pipeline[3].function is "my:own"',
        'p.yaml:19:1: pipeline[3].prompt is asking for "sad"',
        "p.yaml:20:5: pipeline[4].name is missing",
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "    input_mapping: !!set {user, said}",
            "4:20 is tagged tag:yaml.org,2002:set; it must be a plain list or mapping",
        ),
        ("    input_mapping: !!pairs [a: b]", "4:20 is tagged"),
        ("stream: !!bool maybe", "4:9 is maybe, which is not readable (no value of its type)"),
        ('at_once: !!int ""', "4:10 is empty, which is not readable"),
        ("on_failure: !!timestamp x", "4:13 is x, which is not readable"),
        ("at_once: 1" + ":59" * 200 + ".5", "which is not readable (no value of its type)"),
        ('? !!int ""\n: x', "1:1 is not readable (IndexError"),
        (
            "    input_mapping: {on: user_message}",
            "giving a single value (True) as a name; it must be a mapping of texts. Put",
        ),
    ],
)
def test_what_is_no_value_of_the_type_it_says_is_told(line: str, said: str) -> None:
    assert said in told(f"{STEP}{line}\n")


def test_what_yaml_reads_as_something_else_than_a_text_is_told_with_the_way_out() -> None:
    said = "p.yaml:4:13: on_failure is no; it must be a text. Put it in quotes."
    assert told(STEP + "on_failure: no\n") == said
    assert told("pipeline:\n  - name: 2024-13-01\n    model: 0x_\n").startswith(
        "p.yaml:2:11 is 2024-13-01, which is not readable (month must be in 1..12); it must be a plain value"
    )


def test_a_template_without_quotes_is_told_with_the_way_out() -> None:
    said = told(STEP + "    prompt: {{ user_message }}\n")
    assert said.startswith("p.yaml:4:14 is no YAML (found unhashable key)")
    assert said.endswith("A text that begins with { or [ stands in quotes.")


@pytest.mark.parametrize(
    "text",
    [
        "pipeline:\n" + "- {name: a, modle: b}\n" * 2_000,
        "pipeline: [" + "1," * 10_000 + "]",
        "pipeline:\n- name: a\n  input_mapping: [" + "x," * 10_000 + "]",
        "pipeline:\n" + "".join(f"- {{name: a{n}, input_mapping: [a.output]}}\n" for n in range(2_000)),
        "a: &a 1\nb: [" + "*a, " * 10_000 + "]",
        "{" + "a: 1, " * 5_000 + "}",
    ],
    ids=["unknown", "numbers", "inputs", "steps", "aliases", "again"],
)
def test_faults_without_end_are_cut_and_that_is_said(text: str) -> None:
    made = parse("p.yaml", "p", text, {"echo"})
    assert isinstance(made, list)
    assert len(made) == MOST_FAULTS + 1
    assert "more than these" in str(made[-1])
    assert all(len(str(one)) < 1000 for one in made)


def test_of_more_faults_than_are_told_the_first_are() -> None:
    assert told("pipeline:\n" + "  - !!bool x\n" * 200).startswith("p.yaml:2:5 is x, which is not readable")


@given(st.text(alphabet="pieln:- []{}'\"|#*&!?>\n\t01ä", max_size=80))
@settings(max_examples=100)
def test_whatever_is_written_is_a_pipeline_or_told_with_lines_of_the_file(text: str) -> None:
    made = parse("p.yaml", "p", f"pipeline:\n  - {text}\n", {"echo"})
    for problem in made if isinstance(made, list) else ():
        at = re.match(r"p\.yaml:(\d+):(\d+)", problem.place)
        assert at and 1 <= int(at[1]) <= text.count("\n") + 5, problem


def test_the_readme_tells_every_setting_of_a_step_and_a_pipeline() -> None:
    text = (Path(__file__).parents[2] / "gateway/pipelines/README.md").read_text("utf-8")
    said = set(re.findall(r"`(\w+)`", "\n".join(line for line in text.splitlines() if line.startswith("| `"))))
    # A file's name is the pipeline's, and there is one manner.
    assert {*StepSpec.__struct_fields__, *Pipeline.__struct_fields__} - {"pipeline", "manner"} <= said
