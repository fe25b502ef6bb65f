"""What hangs together in a step: whom it asks, what it is given, what its prompt speaks of."""

from __future__ import annotations

from collections.abc import Callable, Collection

from msgspec import Struct

from gateway.errors import SettingError, bounded
from gateway.pipelines.faults import meant, short
from gateway.pipelines.spec import BUILT_IN_INPUTS, MESSAGE_FIELDS, StepSpec
from gateway.pipelines.written import Path, Written, dotted

_OWN_INPUTS = (*BUILT_IN_INPUTS, *(f"message.{field}" for field in MESSAGE_FIELDS))


class Known(Struct, frozen=True):
    """What a step may name. `function` says of a place and a reference what is wrong; None: not looked at."""

    models: Collection[str]
    workers: Collection[str] | None = None
    function: Callable[[str, str], list[SettingError]] | None = None


def check(
    step: StepSpec, path: Path, earlier: Collection[str], faulty: Collection[str], written: Written, known: Known
) -> None:
    """Tell all that is wrong with a step after those `earlier`; of what is `faulty` its type is told already."""
    named = [kind for kind in ("model", "worker", "function") if getattr(step, kind)]
    if len(named) > 1:
        written.wrong((*path, named[1]), found=f"asked beside the step's {named[0]}", wanted="one of them")
    if step.name and step.name in earlier:
        written.wrong((*path, "name"), found=f'"{short(step.name)}" again', wanted="a name of its own")
    _check_asked(step, path, written, known)
    _check_inputs(step, path, earlier, written)
    if step.prompt and "input_mapping" not in faulty:
        _check_prompt(step, path, written)


def _check_asked(step: StepSpec, path: Path, written: Written, known: Known) -> None:
    if step.model and step.model not in known.models:
        near = meant(step.model, sorted(known.models))
        written.wrong(
            (*path, "model"),
            found=f'"{short(step.model)}"',
            wanted=f"a model of oclaw.toml ({_listed(known.models)})",
            hint=near or f'Add [models."{short(step.model)}"] to oclaw.toml.',
        )
    if step.worker and known.workers is not None and step.worker not in known.workers:
        wanted = f"a name under [access] workers, where its token stands ({_listed(known.workers)})"
        hint = meant(step.worker, sorted(known.workers))
        written.wrong((*path, "worker"), found=f'"{short(step.worker)}"', wanted=wanted, hint=hint)
    if step.function and known.function is not None:
        at, setting = written.at(*path, "function"), dotted((*path, "function"))
        written.faults.take(at, known.function(written.faults.place(at, setting), step.function))


def _check_inputs(step: StepSpec, path: Path, earlier: Collection[str], written: Written) -> None:
    mapping = step.input_mapping
    for key, name in mapping.items() if isinstance(mapping, dict) else enumerate(mapping):
        if name in _OWN_INPUTS or name.startswith("metadata.") or written.faults.full:
            continue
        step_named = name.removesuffix(".output") if name.endswith(".output") else None
        # A step before it whose name is faulty may be the one that is meant.
        if step_named not in earlier and (step_named is None or "" not in earlier):
            written.wrong(
                (*path, "input_mapping", key),
                found=f'"{short(name)}"',
                wanted="user_message, conversation_history, message.*, metadata.* or an earlier step's output",
                hint=meant(name, [*_OWN_INPUTS, *(f"{step}.output" for step in earlier)]),
            )


def _check_prompt(step: StepSpec, path: Path, written: Written) -> None:
    from jinja2 import TemplateSyntaxError, meta, nodes
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment()
    place = (*path, "prompt")
    try:
        # Compiled, as it will be used: an unknown filter is found by no less.
        environment.from_string(step.prompt)
        tree = environment.parse(step.prompt)
    except TemplateSyntaxError as error:
        found = bounded(f"wrong in line {error.lineno}: {error.message}")
        written.faults.add(written.line(error.lineno, *place), dotted(place), found=found, wanted="Jinja2")
        return
    except Exception as error:  # RecursionError, SyntaxError, MemoryError: what a compiler meets in nested brackets
        written.wrong(place, found=f"not usable ({type(error).__name__})", wanted="Jinja2")
        return
    own = {name.name for name in tree.find_all(nodes.Name) if name.ctx != "load"}
    lines = {name.name: name.lineno for name in reversed(list(tree.find_all(nodes.Name)))}
    unknown = meta.find_undeclared_variables(tree) - own
    _check_names(step, place, {name: lines.get(name, 1) for name in sorted(unknown)}, written)


def _check_names(step: StepSpec, place: Path, unknown: dict[str, int], written: Written) -> None:
    """Refuse names that the prompt uses and nothing gives: they would be filled in as nothing, or fail, each time."""
    given = [name for name in step.input_mapping if name.isidentifier()]
    for name, line in unknown.items():
        if name not in given and not written.faults.full:
            wanted = f"a name that input_mapping gives ({_listed(given) if given else 'as a mapping; there is none'})"
            mark = written.line(line, *place)
            found = f'asking for "{short(name)}"'
            written.faults.add(mark, dotted(place), found=found, wanted=wanted, hint=meant(name, given))


def _listed(names: Collection[str]) -> str:
    """Name what there is, as far as a line takes it."""
    shown = ", ".join(short(name) for name in sorted(names)[:20]) or "there is none"
    return f"{shown}, …" if len(names) > 20 else shown
