"""What an operator writes in pipelines.d/NAME.yaml, as values; or everything that is wrong with it.

Pure: text in, a `Pipeline` or all problems out. A step asks a model (`model`), a worker connected
over gRPC (`worker`), a Python function (`function: module:name`), or whichever model the ruleset
"models" picks when it names none of these.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from gateway.errors import SettingError


class StepSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One step. `input_mapping` is a list of inputs, or a mapping of names for the prompt to inputs.

    Inputs: user_message, conversation_history, message.<field>, metadata.<key>, <earlier step>.output.
    `prompt` is a Jinja2 template over the mapping's names; without one the inputs are given in order.
    """

    name: str
    model: str = ""
    worker: str = ""
    function: str = ""
    input_mapping: list[str] | dict[str, str] = msgspec.field(default_factory=lambda: ["user_message"])
    system: str = ""
    prompt: str = ""
    max_tokens: Annotated[int, Meta(ge=0)] = 0
    temperature: float | None = None
    deadline_seconds: Annotated[float, Meta(gt=0)] = 60.0
    tries: Annotated[int, Meta(ge=1)] = 3


class Pipeline(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A pipeline and its actor's limits. `on_failure` is what the sender hears when a step gives up.

    `at_once` messages are worked on side by side; the others wait in the mailbox, by priority and then in
    order, and [flow] max_waiting bounds them all. `history_turns` exchanges of the conversation are shown
    to steps that map conversation_history.
    """

    pipeline: list[StepSpec]
    name: str = ""
    at_once: Annotated[int, Meta(ge=1)] = 64
    history_turns: Annotated[int, Meta(ge=0)] = 10
    on_failure: str = ""
    stream: bool = True
    manner: Literal["queue"] = "queue"


# A step's settings are three deep.
MOST_NESTED = 50
BUILT_IN_INPUTS = ("user_message", "conversation_history")
MESSAGE_FIELDS = ("content", "channel", "platform", "type", "sender.id", "sender.name", "conversation.id")


def parse(file: str, name: str, text: str, models: Collection[str]) -> Pipeline | list[SettingError]:
    """Read one pipeline file; `file` is its name as errors show it, `models` are the names that exist."""
    loaded = _yaml(file, text)
    if isinstance(loaded, SettingError):
        return [loaded]
    if not isinstance(loaded, Mapping) or not isinstance(loaded.get("pipeline"), list) or not loaded["pipeline"]:
        wanted = "a mapping with the key `pipeline` and a list of steps under it"
        return [SettingError(file, found=_kind(loaded), wanted=wanted)]
    problems: list[SettingError] = []
    steps = [
        step
        for index, raw in enumerate(loaded["pipeline"])
        if (step := _convert(f"{file}: pipeline[{index}]", raw, StepSpec, problems)) is not None
    ]
    head = {key: value for key, value in loaded.items() if key != "pipeline"} | {"pipeline": [], "name": name}
    whole = _convert(file, head, Pipeline, problems)
    if len(steps) == len(loaded["pipeline"]):
        problems += _check(file, steps, models)
    if problems or whole is None:
        return problems
    done: Pipeline = msgspec.structs.replace(whole, pipeline=steps)
    return done


def _yaml(file: str, text: str) -> Any:
    import yaml

    if len(text) > 1_000_000:
        return SettingError(file, found=f"{len(text):,} characters long", wanted="at most 1,000,000")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        if (odd := _unsafe(file, yaml.scan(text, Loader=loader))) is not None:
            return odd
        twice = _named_twice(yaml.compose(text, Loader=loader))
        if twice is not None:
            return SettingError(
                _marked(file, twice.start_mark), found=f"{twice.value} for the second time", wanted="given once"
            )
        return yaml.load(text, Loader=loader)
    except yaml.MarkedYAMLError as error:
        return SettingError(
            _marked(file, error.problem_mark),
            found=f"no YAML ({error.problem})" if error.problem else "no YAML",
            wanted="valid YAML",
        )
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        return SettingError(file, found=f"not readable ({error})", wanted="valid YAML")


def _unsafe(file: str, tokens: Iterable[Any]) -> SettingError | None:
    """Say what may not be read on: an alias, or what is nested deeper than any pipeline; libyaml's stack has an end."""
    import yaml

    blocks = (yaml.BlockSequenceStartToken, yaml.BlockMappingStartToken)
    opening = (*blocks, yaml.FlowSequenceStartToken, yaml.FlowMappingStartToken)
    closing = (yaml.BlockEndToken, yaml.FlowSequenceEndToken, yaml.FlowMappingEndToken)
    depth = 0
    for token in tokens:
        if isinstance(token, yaml.AliasToken):
            wanted = "written out (an alias can grow without bound)"
            return SettingError(_marked(file, token.start_mark), found="using a YAML alias", wanted=wanted)
        depth += isinstance(token, opening) - isinstance(token, closing)
        if depth > MOST_NESTED:
            wanted = f"at most {MOST_NESTED} deep"
            return SettingError(_marked(file, token.start_mark), found="nested without end", wanted=wanted)
    return None


def _marked(file: str, mark: Any) -> str:
    return file if mark is None else f"{file}:{mark.line + 1}:{mark.column + 1}"


def _named_twice(root: Any) -> Any:
    """Return the node of a setting that one mapping has twice, of which only the last would count; None if none is."""
    import yaml

    nodes = [root]
    while nodes:
        node = nodes.pop()
        if isinstance(node, yaml.SequenceNode):
            nodes += node.value
        elif isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, value in node.value:
                nodes.append(value)
                if isinstance(key, yaml.ScalarNode):
                    if key.value in seen:
                        return key
                    seen.add(key.value)
    return None


def _convert(place: str, raw: Any, shape: type[Any], problems: list[SettingError]) -> Any:
    if not isinstance(raw, Mapping):
        problems.append(SettingError(place, found=_kind(raw), wanted="a mapping of settings"))
        return None
    known = shape.__struct_fields__
    wrong = [key for key in raw if key not in known]
    for key in wrong:
        near = get_close_matches(str(key), known, 1)
        hint = f"Did you mean {near[0]}?" if near else ""
        problems.append(
            SettingError(f"{place}.{key}", found="no setting", wanted=f"one of {', '.join(known)}", hint=hint)
        )
    values, failed = {}, bool(wrong)
    types = {field.name: field.type for field in msgspec.structs.fields(shape)}
    for key in known:
        if key in raw:
            try:
                values[key] = msgspec.convert(raw[key], types[key])
            except msgspec.ValidationError as error:
                problems.append(SettingError(f"{place}.{key}", found=_found(raw[key]), wanted=_wanted(str(error))))
                failed = True
    if "name" in known and not values.get("name") and not failed:
        problems.append(SettingError(f"{place}.name", found="missing", wanted="the step's name"))
        failed = True
    return None if failed else shape(**values)


def _check(file: str, steps: list[StepSpec], models: Collection[str]) -> list[SettingError]:
    problems: list[SettingError] = []
    earlier: list[str] = []
    for index, step in enumerate(steps):
        place = f"{file}: pipeline[{index}]"
        named = [kind for kind in ("model", "worker", "function") if getattr(step, kind)]
        if len(named) > 1:
            problems.append(SettingError(place, found=f"asking {' and '.join(named)}", wanted="one of them"))
        if step.name in earlier:
            problems.append(SettingError(f"{place}.name", found=f'"{step.name}" again', wanted="a name of its own"))
        if step.model and step.model not in models:
            near = get_close_matches(step.model, models, 1)
            problems.append(
                SettingError(
                    f"{place}.model",
                    found=f'"{step.model}"',
                    wanted=f"a model of oclaw.toml ({', '.join(sorted(models)) or 'there is none'})",
                    hint=f"Did you mean {near[0]}?" if near else f'Add [models."{step.model}"] to oclaw.toml.',
                )
            )
        problems += _check_inputs(place, step, earlier)
        problems += _check_prompt(place, step)
        earlier.append(step.name)
    return problems


def _check_inputs(place: str, step: StepSpec, earlier: list[str]) -> list[SettingError]:
    mapping = step.input_mapping
    inputs = list(mapping.values()) if isinstance(mapping, dict) else mapping
    allowed = [*BUILT_IN_INPUTS, *(f"message.{field}" for field in MESSAGE_FIELDS), *(f"{n}.output" for n in earlier)]
    problems = []
    for name in inputs:
        if name not in allowed and not name.startswith("metadata."):
            near = get_close_matches(name, allowed, 1)
            problems.append(
                SettingError(
                    f"{place}.input_mapping",
                    found=f'"{name}"',
                    wanted="user_message, conversation_history, message.*, metadata.* or an earlier step's output",
                    hint=f"Did you mean {near[0]}?" if near else "",
                )
            )
    return problems


def _check_prompt(place: str, step: StepSpec) -> list[SettingError]:
    if not step.prompt:
        return []
    from jinja2 import TemplateSyntaxError, meta, nodes
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment()
    try:
        # Compiled, as it will be used: an unknown filter is found by no less.
        environment.from_string(step.prompt)
        tree = environment.parse(step.prompt)
        own = {name.name for name in tree.find_all(nodes.Name) if name.ctx != "load"}
        return _check_names(place, step, meta.find_undeclared_variables(tree) - own)
    except TemplateSyntaxError as error:
        return [
            SettingError(f"{place}.prompt", found=f"wrong in line {error.lineno}: {error.message}", wanted="Jinja2")
        ]
    except Exception as error:  # RecursionError, SyntaxError, MemoryError: what a compiler meets in nested brackets
        return [SettingError(f"{place}.prompt", found=f"not usable ({type(error).__name__})", wanted="Jinja2")]


def _check_names(place: str, step: StepSpec, unknown: set[str]) -> list[SettingError]:
    """Refuse names that the prompt uses and nothing gives: they would be filled in as nothing, or fail, each time."""
    mapping = step.input_mapping
    given = [name for name in mapping if name.isidentifier()]
    problems = []
    for name in sorted(unknown - set(given)):
        near = get_close_matches(name, given, 1)
        wanted = f"a name that input_mapping gives ({', '.join(given) or 'as a mapping; there is none'})"
        hint = f"Did you mean {near[0]}?" if near else ""
        problems.append(SettingError(f"{place}.prompt", found=f'asking for "{name}"', wanted=wanted, hint=hint))
    return problems


def _found(raw: Any) -> str:
    return str(raw) if type(raw) in (int, float) else _kind(raw)


def _kind(raw: Any) -> str:
    names = {dict: "a mapping", list: "a list", str: "a text", int: "a number", float: "a number", bool: "yes or no"}
    return "empty" if raw is None else names.get(type(raw), type(raw).__name__)


def _wanted(error: str) -> str:
    """Turn msgspec's sentence into the end of ours."""
    words = {"`str`": "a text", "`int`": "a whole number", "`float`": "a number", "`array`": "a list"}
    wanted = error.removeprefix("Expected ").split(", got")[0].split(" - at")[0]
    for word, plain in words.items():
        wanted = wanted.replace(word, plain)
    return wanted.replace("`object`", "a mapping").replace(" | ", " or ")
