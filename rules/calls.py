"""Check actions: the name, the arguments, their types, and the things that must exist."""

from __future__ import annotations

import re
from typing import Any  # argument values of every type

from rules import core
from rules import syntax as s
from rules.breath import Breathe, empty
from rules.check import Checker, Report
from rules.errors import meant
from rules.tokens import SECONDS
from rules.unfit import Unfit
from rules.vocabulary import ActionSpec, Param, Scope

_RATE = re.compile(r"(\d{1,9})/(\d{1,9})(ms|s|m|h|d)")
_WANTED = {
    "text": "text",
    "number": "a number",
    "duration": "a duration such as 5m",
    "size": "a size such as 10KB",
    "boolean": "TRUE or FALSE",
    "rate": 'a rate such as "5/1m"',
    "field": "a field",
    "list": "a list",
}
_READ: dict[str, core.Wanted] = {"text": "text", "number": "number", "boolean": "boolean", "list": "list"}


class ActionChecker:
    """Checks the actions of one load against the vocabulary's names."""

    def __init__(self, checker: Checker, names: dict[str, frozenset[str]]) -> None:
        self._checker = checker
        self._names = names
        self._calls: dict[object, core.Call] = {}

    def forget(self, breathe: Breathe) -> None:
        """Let go of the calls that rules shared."""
        empty(self._calls, breathe)

    def calls(self, actions: tuple[s.Action, ...], scope: Scope, report: Report) -> tuple[core.Call, ...]:
        """The checked actions; those with a mistake are reported and left out."""
        checked = []
        for action in actions:
            try:
                checked.append(self.call(action, scope))
            except Unfit as unfit:
                report(unfit.start, unfit.end, unfit.message, unfit.hint)
        return tuple(checked)

    def call(self, action: s.Action, scope: Scope) -> core.Call:
        """One checked action. Raises `Unfit`."""
        spec = scope.actions.get(action.name)
        if spec is None:
            raise Unfit(action, f"there is no action {action.name}", meant(action.name, scope.actions))
        given = self._bind(action, spec, scope)
        per = self._per(action, spec, scope)
        fixed = per is None and not any(isinstance(value, core.Computed) for _, value in given)
        call = core.Call(action.name, given, per, spec.terminal, fixed)
        # Thousands of rules route to the same pipeline; they share one call.
        return self._calls.setdefault((id(spec), action.name, given), call) if fixed else call

    def _bind(self, action: s.Action, spec: ActionSpec, scope: Scope) -> tuple[tuple[str, Any], ...]:
        params = {param.name: param for param in spec.params}
        order = list(spec.params)
        values: dict[str, Any] = {}
        for argument in action.arguments:
            param = self._param(action, argument, params, order, values)
            value = self._value(argument.value, param, scope)
            values[param.name] = (*values.get(param.name, ()), *_many(value)) if param.many else value
        for param in spec.params:
            if param.name not in values and not param.optional:
                raise Unfit(action, f"{action.name} lacks its argument {param.name}", _signature(action.name, spec))
        return tuple(values.items())

    def _param(
        self,
        action: s.Action,
        argument: s.Argument,
        params: dict[str, Param],
        order: list[Param],
        values: dict[str, Any],
    ) -> Param:
        if argument.name:
            param = params.get(argument.name)
            if param is None:
                message = f"{action.name} has no parameter {argument.name}"
                raise Unfit(argument, message, meant(argument.name, params))
            if argument.name in values and not param.many:
                raise Unfit(argument, f"{argument.name} is given twice")
            return param
        while order and order[0].name in values and not order[0].many:
            order.pop(0)
        if not order:
            spec = ActionSpec(tuple(params.values()))
            raise Unfit(argument, f"{action.name} takes no more arguments", _signature(action.name, spec))
        return order[0] if order[0].many else order.pop(0)

    def _value(self, given: s.Value, param: Param, scope: Scope) -> Any:
        if param.kind == "field":
            return self._field(given, scope)
        value = self._checker.constant(given)
        if isinstance(value, s.Operand):
            return self._computed(value, param, scope)
        if isinstance(value, (s.Listed, s.FileList)):
            if param.kind not in ("list", "any") and not param.many:
                raise Unfit(given, f"found a list, wanted {_WANTED[param.kind]} for {param.name}")
            texts = self._checker.texts(given)
            for text in texts:
                self._exists(text, param, given)
            return texts
        return self._literal(value, given, param)

    def _literal(self, value: s.Literal, given: s.Value, param: Param) -> Any:
        wanted = param.kind
        if wanted == "rate" and value.kind == "text":
            return _rate(str(value.value), given)
        if wanted == "any" or (wanted == value.kind) or (wanted == "list" and value.kind == "text"):
            if value.kind == "text":
                self._exists(str(value.value), param, given)
            return (value.value,) if wanted == "list" else value.value
        raise Unfit(given, f"found {_found(value)}, wanted {_WANTED[wanted]} for {param.name}")

    def _exists(self, text: str, param: Param, given: s.Value) -> None:
        if not param.names or text in self._names.get(param.names, frozenset()):
            return
        known = self._names.get(param.names, frozenset())
        one = param.names.removesuffix("s")
        raise Unfit(given, f'there is no {one} "{text}"', meant(text, known) or _some(param.names, known))

    def _computed(self, operand: s.Operand, param: Param, scope: Scope) -> core.Computed:
        if param.names:
            one = param.names.removesuffix("s")
            raise Unfit(operand, f"found {operand.field}, wanted the name of a {one} in double quotes")
        wanted: Any = "any"
        if param.kind != "any":
            if param.kind not in _READ:
                raise Unfit(operand, f"found {operand.field}, wanted {_WANTED[param.kind]} for {param.name}")
            wanted = _READ[param.kind]
        return core.Computed(self._checker.reading(operand, scope, wanted))

    def _field(self, given: s.Value, scope: Scope) -> core.FieldRef:
        if not isinstance(given, s.Operand) or given.function:
            raise Unfit(given, "wanted a field, such as message.metadata.note, without quotes")
        _, name, keys = self._checker.field(given, scope)
        return core.FieldRef(name, keys)

    def _per(self, action: s.Action, spec: ActionSpec, scope: Scope) -> core.Reading | None:
        if action.per is None:
            return None
        if not spec.per:
            raise Unfit(action.per, f"{action.name} takes no PER")
        return self._checker.reading(action.per, scope, "any")


def _rate(text: str, given: s.Value) -> core.Rate:
    match = _RATE.fullmatch(text)
    if match is None or int(match[1]) == 0 or int(match[2]) == 0:
        raise Unfit(given, f'found "{text}", wanted a rate', 'five a minute is "5/1m"')
    return core.Rate(int(match[1]), int(match[2]) * SECONDS[match[3]])


def _many(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _found(value: s.Literal) -> str:
    return {"text": "text", "boolean": "TRUE or FALSE", "regex": "a regular expression"}.get(
        value.kind, f"a {value.kind}"
    )


def _signature(name: str, spec: ActionSpec) -> str:
    params = ", ".join(f"[{p.name}]" if p.optional else p.name + ("…" if p.many else "") for p in spec.params)
    return f"it is {name}({params})" + (" PER field" if spec.per else "")


def _some(kind: str, known: frozenset[str]) -> str:
    shown = ", ".join(sorted(known)[:5])
    return f"the {kind} are: {shown}" + (", …" if len(known) > 5 else "") if known else f"there are no {kind}"
