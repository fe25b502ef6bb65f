"""What a step is given: its mapped inputs as text, and the turns a model is shown. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gateway.message.envelope import Envelope
from gateway.pipelines.spec import StepSpec
from gateway.ports import Turn

Render = Callable[[Mapping[str, str]], str]


def needs_history(step: StepSpec) -> bool:
    """Say whether the step is shown the conversation so far."""
    mapping = step.input_mapping
    return "conversation_history" in (mapping.values() if isinstance(mapping, dict) else mapping)


def gathered(step: StepSpec, envelope: Envelope, outputs: Mapping[str, str], history: Sequence[Turn]) -> dict[str, str]:
    """Return the step's inputs by name, in the order of its mapping; what a message lacks is ''."""
    mapping = step.input_mapping
    pairs = mapping.items() if isinstance(mapping, dict) else [(name, name) for name in mapping]
    return {name: _value(source, envelope, outputs, history) for name, source in pairs}


def turns(
    step: StepSpec, envelope: Envelope, inputs: Mapping[str, str], history: Sequence[Turn], render: Render | None
) -> tuple[Turn, ...]:
    """Lay out what the model is shown: system text, history, named context, and what was said, last."""
    shown: list[Turn] = []
    if step.system:
        shown.append(Turn("system", step.system))
    if needs_history(step):
        shown += history
    mapping = step.input_mapping
    if render is not None:
        shown.append(Turn("user", render(inputs)))
    elif isinstance(mapping, dict):
        context = [
            f"{name}: {text}"
            for name, text in inputs.items()
            if text and mapping[name] not in ("conversation_history", "user_message")
        ]
        if context:
            shown.append(Turn("system", "\n".join(context)))
        shown.append(Turn("user", envelope.message.content))
    else:
        said = [text for name, text in inputs.items() if name != "conversation_history" and text]
        shown.append(Turn("user", "\n\n".join(said)))
    return tuple(shown)


def _value(source: str, envelope: Envelope, outputs: Mapping[str, str], history: Sequence[Turn]) -> str:
    if source == "user_message":
        return envelope.message.content
    if source == "conversation_history":
        return "\n".join(f"{turn.role}: {turn.text}" for turn in history)
    if source.startswith("metadata."):
        return _text(envelope.message.metadata.get(source.removeprefix("metadata.")))
    if source.startswith("message."):
        value: Any = envelope.message
        for part in source.removeprefix("message.").split("."):
            value = getattr(value, part)
        return _text(value)
    return outputs[source.removesuffix(".output")]


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
