"""YAML as somebody wrote it: its plain values, and the line and column of each; or what keeps it from being read.

Bounded before anything is built of it: in length, in depth, and without aliases, which can grow without end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.errors import bounded, in_words
from gateway.pipelines.faults import Faults, Mark, short

MOST_CHARACTERS = 1_000_000
# A step's settings are three deep.
MOST_NESTED = 50
TOP = Mark(1, 1)
# What `!!set`, `!!omap` and `!!pairs` make are neither of these, and no setting is one.
_PLAIN = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")
WHOLE = "a mapping with the key `pipeline` and a list of steps under it"
Path = tuple[str | int, ...]


class Written:
    """The values of one file, and where they stand. Where a path leads nowhere it is the last place on the way."""

    def __init__(self, root: Any, value: Any, faults: Faults) -> None:
        self._root, self.value, self.faults = root, value, faults

    def wrong(self, path: Path, *, found: str, wanted: str, hint: str = "") -> None:
        """Note what is wrong with the value that a path leads to."""
        self.faults.add(self.at(*path), dotted(path), found=found, wanted=wanted, hint=hint)

    def at(self, *path: str | int) -> Mark:
        """Return the place of the value that keys and indices lead to."""
        return _mark(self._nodes(path)[1].start_mark)

    def named(self, *path: str | int) -> Mark:
        """Return the place where a setting's name stands."""
        return _mark(self._nodes(path)[0].start_mark)

    def text(self, *path: str | int) -> str:
        """Return the value as it was written, without its quotes; '' for a list or a mapping."""
        node = self._nodes(path)[1]
        return node.value if isinstance(node.value, str) else ""

    def line(self, number: int, *path: str | int) -> Mark:
        """Return the place of a line in a text of several: where it stands as it is (`|`), that line itself."""
        node = self._nodes(path)[1]
        if node.style != "|":
            return _mark(node.start_mark)
        return Mark(node.start_mark.line + 1 + number, 1)

    def _nodes(self, path: Path) -> tuple[Any, Any]:
        key = node = self._root
        for step in path:
            if isinstance(step, int):
                key = node = node.value[step]
                continue
            # The last one counts.
            pairs = [pair for pair in node.value if pair[0].value == step]
            if not pairs:
                break
            key, node = pairs[-1]
        return key, node


def read(text: str, faults: Faults) -> Written | None:
    """Return what was written; None when it cannot be read, which `faults` tells then."""
    import yaml

    if len(text) > MOST_CHARACTERS:
        faults.add(TOP, "", found=f"{len(text):,} characters long", wanted=f"at most {MOST_CHARACTERS:,}")
        return None
    try:
        _look_for_unsafe(text, faults)
        return None if len(faults) else _composed(text, faults)
    except yaml.MarkedYAMLError as error:
        found = f"no YAML ({error.problem})" if error.problem else "no YAML"
        # `prompt: {{ x }}` is a mapping whose key is one.
        hint = "A text that begins with { or [ stands in quotes." if "unhashable" in found else ""
        faults.add(_mark(error.problem_mark), "", found=found, wanted="valid YAML", hint=hint)
    except yaml.YAMLError as error:
        faults.add(TOP, "", found=f"not readable ({error})", wanted="valid YAML")
    except Exception as error:  # what is no value of its type (`!!bool maybe`) ends PyYAML in errors of any kind
        faults.add(TOP, "", found=f"not readable ({in_words(error)})", wanted="valid YAML")
    return None


def _look_for_unsafe(text: str, faults: Faults) -> None:
    """Tell every alias, and the first that is nested deeper than any pipeline; libyaml's stack has an end."""
    import yaml

    blocks = (yaml.BlockSequenceStartToken, yaml.BlockMappingStartToken)
    opening = (*blocks, yaml.FlowSequenceStartToken, yaml.FlowMappingStartToken)
    closing = (yaml.BlockEndToken, yaml.FlowSequenceEndToken, yaml.FlowMappingEndToken)
    depth = 0
    for token in yaml.scan(text, Loader=_loader()):
        if isinstance(token, yaml.AliasToken):
            wanted = "written out (an alias can grow without bound)"
            faults.add(_mark(token.start_mark), "", found="using a YAML alias", wanted=wanted)
        depth += isinstance(token, opening) - isinstance(token, closing)
        if depth > MOST_NESTED:
            faults.add(_mark(token.start_mark), "", found="nested without end", wanted=f"at most {MOST_NESTED} deep")
        if depth > MOST_NESTED or faults.full:
            return


def _composed(text: str, faults: Faults) -> Written | None:
    loader = _loader()(text)
    try:
        root = loader.get_single_node()
        if root is None:
            faults.add(TOP, "", found="empty", wanted=WHOLE)
            return None
        for node in _nodes_of(root, faults):
            _look_at(loader, node, faults)
        return None if len(faults) else Written(root, loader.construct_document(root), faults)
    finally:
        loader.dispose()


def _nodes_of(root: Any, faults: Faults) -> Iterator[Any]:
    """Give every value's node in the file's order; tell of settings that a mapping has twice: the last would count."""
    import yaml

    nodes = [root]
    while nodes and not faults.full:
        node = nodes.pop()
        if isinstance(node, yaml.CollectionNode) and node.tag not in _PLAIN:
            wanted = "a plain list or mapping"
            faults.add(_mark(node.start_mark), "", found=f"tagged {short(node.tag)}", wanted=wanted)
        elif isinstance(node, yaml.SequenceNode):
            nodes += reversed(node.value)
        elif isinstance(node, yaml.MappingNode):
            nodes += [value for _, value in reversed(node.value)]
            seen: set[str] = set()
            for key in [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]:
                if key.value in seen:
                    found = f"{short(key.value)} for the second time"
                    faults.add(_mark(key.start_mark), "", found=found, wanted="given once")
                seen.add(key.value)
        else:
            yield node


def _look_at(loader: Any, node: Any, faults: Faults) -> None:
    """Tell of a scalar that is none: `2024-13-01`, which looks like a date, or a tag that nobody knows."""
    try:
        loader.construct_object(node)
    except Exception as error:  # KeyError, IndexError, AttributeError too: `!!bool maybe`, `!!int ""`, `!!timestamp x`
        why = getattr(error, "problem", "") or (str(error) if isinstance(error, ValueError) else "no value of its type")
        found = f"{short(node.value) or 'empty'}, which is not readable ({bounded(why)})"
        wanted = "a plain value, in quotes where it is a text"
        faults.add(_mark(node.start_mark), "", found=found, wanted=wanted)


def _loader() -> Any:
    import yaml

    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _mark(mark: Any) -> Mark:
    return TOP if mark is None else Mark(mark.line + 1, mark.column + 1)


def dotted(path: Path) -> str:
    """Return a path as it is said, as in `pipeline[0].model`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{short(step)}" for step in path).removeprefix(".")


def kind(raw: Any) -> str:
    """Return what sort of value it is, in words."""
    if raw is None:
        return "empty"
    if isinstance(raw, Mapping):
        return "a mapping"
    return "a list" if isinstance(raw, list) else "a text" if isinstance(raw, str) else "a single value"
