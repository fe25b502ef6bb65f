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


def nesting(tree: object) -> int:
    """How deep NOT and parentheses stand in one another."""
    match tree:
        case s.Or(items=items) | s.And(items=items):
            return max(map(nesting, items))
        case s.Not(item=item) | s.Group(item=item):
            return 1 + nesting(item)
        case _:
            return 0


def entangled(definitions: dict[str, Definition]) -> dict[str, list[str]]:
    """The names on a cycle, or between two, each with the entangled names it uses.

    Names that use none that is left are taken away, then those that none that is left uses: in linear time,
    however 100,000 of them are tied.
    """
    graph = _graph(definitions)
    left = _without(graph, _peeled(graph))
    back: dict[str, list[str]] = {name: [] for name in left}
    for name, used in left.items():
        for other in used:
            back[other].append(name)
    return _without(left, _peeled(back))


def leaves_first(definitions: dict[str, Definition]) -> list[str]:
    """The names that lead to no cycle, each after those it uses; otherwise in the order they are written."""
    return _peeled(_graph(definitions))


def _graph(definitions: dict[str, Definition]) -> dict[str, list[str]]:
    return {name: sorted(uses(definition.let) & definitions.keys()) for name, definition in definitions.items()}


def _peeled(graph: dict[str, list[str]]) -> list[str]:
    """The nodes from which every path ends, the ends first."""
    pending = {name: len(used) for name, used in graph.items()}
    users: dict[str, list[str]] = {name: [] for name in graph}
    for name, used in graph.items():
        for other in used:
            users[other].append(name)
    free = [name for name, count in pending.items() if not count]
    for name in free:  # grows as it is walked
        for user in users[name]:
            pending[user] -= 1
            if not pending[user]:
                free.append(user)
    return free


def _without(graph: dict[str, list[str]], gone: list[str]) -> dict[str, list[str]]:
    kept = graph.keys() - set(gone)
    return {name: [other for other in used if other in kept] for name, used in graph.items() if name in kept}


def cycle_from(name: str, graph: dict[str, list[str]]) -> list[str]:
    """The path by which `name` leads back to itself, or the empty list."""
    path: list[str] = []
    seen: set[str] = set()
    stack: list[tuple[str, int]] = [(name, 0)]
    while stack:
        current, depth = stack.pop()
        del path[depth:]
        if current == name and path:
            return [*path, name]
        if current in seen:
            continue
        seen.add(current)
        path.append(current)
        stack.extend((used, depth + 1) for used in graph[current])
    return []
