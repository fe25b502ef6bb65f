"""The names LET gives to lists, literals and conditions, across all files of a directory.

Order does not matter: a LET may use a later one. A name given twice, a name that leads back to
itself and a name nothing uses are found here.
"""

from __future__ import annotations

import msgspec

from rules import syntax as s


class Definition(msgspec.Struct, frozen=True):
    file: str
    let: s.Let


def uses(node: object) -> set[str]:
    """The names a tree mentions that may be LETs: `$name`s and bare names."""
    found: set[str] = set()
    _collect(node, found)
    return found


def _collect(node: object, found: set[str]) -> None:
    match node:
        case s.Use(name=name):
            found.add(name)
        case s.Operand(field=field, keys=(), function=""):
            found.add(field)
        case s.Or(items=items) | s.And(items=items):
            for item in items:
                _collect(item, found)
        case s.Not(item=item) | s.Group(item=item):
            _collect(item, found)
        case s.Compare(value=value) | s.Within(value=value) | s.TextTest(value=value):
            _collect(value, found)
        case s.Rule(condition=condition, actions=actions):
            _collect(condition, found)
            _collect_actions(actions, found)
        case s.Otherwise(actions=actions):
            _collect_actions(actions, found)
        case s.Let(value=value):
            _collect(value, found)
        case _:
            pass


def _collect_actions(actions: tuple[s.Action, ...], found: set[str]) -> None:
    for action in actions:
        for argument in action.arguments:
            _collect(argument.value, found)


def cycle_from(name: str, definitions: dict[str, Definition]) -> list[str]:
    """The path by which `name` leads back to itself, or the empty list."""
    path: list[str] = []
    seen: set[str] = set()
    stack: list[tuple[str, int]] = [(name, 0)]
    while stack:
        current, depth = stack.pop()
        del path[depth:]
        if current == name and path:
            return [*path, name]
        if current in seen or current not in definitions:
            continue
        seen.add(current)
        path.append(current)
        stack.extend((used, depth + 1) for used in sorted(uses(definitions[current].let)))
    return []
