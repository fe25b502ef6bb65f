"""What a step is given: its mapped inputs as text, and the turns a model is shown. Pure.

A step's mapping is read once, when the pipeline is built; a message only walks through what came of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any

from gateway.message.envelope import Envelope
from gateway.pipelines.spec import StepSpec
from gateway.ports import Turn

Render = Callable[[Mapping[str, str]], str]
Source = Callable[[Envelope, Mapping[str, str], Sequence[Turn]], str]


class Inputs:
    """The inputs of one step. `needs_history` says whether it is shown the conversation so far."""

    def __init__(self, step: StepSpec, render: Render | None) -> None:
        mapping = step.input_mapping
        self._named = isinstance(mapping, dict)
        pairs = list(mapping.items()) if isinstance(mapping, dict) else [(name, name) for name in mapping]
        self._sources = [(name, _source(source)) for name, source in pairs]
        self.needs_history = any(source == "conversation_history" for _, source in pairs)
        # What is said beside the history: as context under its name, or as the text itself.
        beside = ("conversation_history", "user_message") if self._named else ("conversation_history",)
        self._said = [name for name, source in dict(pairs).items() if source not in beside]
        self._before = (Turn("system", step.system),) if step.system else ()
        self._render = render

    def gathered(self, envelope: Envelope, outputs: Mapping[str, str], history: Sequence[Turn]) -> dict[str, str]:
        """Return the step's inputs by name, in the order of its mapping; what a message lacks is ''."""
        inputs: dict[str, str] = {}
        for name, source in self._sources:
            inputs[name] = source(envelope, outputs, history)
        return inputs

    def turns(self, envelope: Envelope, inputs: Mapping[str, str], history: Sequence[Turn]) -> tuple[Turn, ...]:
        """Lay out what the model is shown: system text, history, named context, and what was said, last."""
        before = (*self._before, *history) if self.needs_history else self._before
        if self._render is not None:
            return (*before, Turn("user", self._render(inputs)))
        if not self._named:
            return (*before, Turn("user", "\n\n".join([text for name in self._said if (text := inputs[name])])))
        context = "\n".join([f"{name}: {text}" for name in self._said if (text := inputs[name])])
        said = Turn("user", envelope.message.content)
        return (*before, Turn("system", context), said) if context else (*before, said)


def _source(source: str) -> Source:
    if source == "user_message":
        return lambda envelope, _outputs, _history: envelope.message.content
    if source == "conversation_history":
        return lambda _envelope, _outputs, history: "\n".join([f"{turn.role}: {turn.text}" for turn in history])
    if source.startswith("metadata."):
        key = source.removeprefix("metadata.")
        return lambda envelope, _outputs, _history: _text(envelope.message.metadata.get(key))
    if source.startswith("message."):
        value_of = attrgetter(source)
        return lambda envelope, _outputs, _history: _text(value_of(envelope))
    step = source.removesuffix(".output")
    return lambda _envelope, outputs, _history: outputs[step]


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
