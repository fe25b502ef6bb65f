"""A dict that many share, with what one of them changed on a sheet of its own.

An edit of ten rules must not cost a copy of the tables of a hundred thousand. `copy` shares the
dict and copies the sheet; `settle`, once nobody asks the others any more, writes the sheet into
the dict and clears it, entry by entry, so that whoever reads meanwhile finds the same answers.
"""

from __future__ import annotations

from typing import Generic, TypeVar, cast

from rules.breath import Breathe, empty

Key = TypeVar("Key")
Value = TypeVar("Value")


class Layers(Generic[Key, Value]):
    """`base` is shared, `over` is not; a key that was dropped has `gone` in `over`.

    What is put before the first `copy` goes into `base` itself.
    """

    __slots__ = ("_size", "base", "gone", "over", "shared")

    def __init__(self, gone: Value) -> None:
        self.gone = gone
        self.base: dict[Key, Value] = {}
        self.over: dict[Key, Value] = {}
        self.shared = False
        self._size = 0

    def __len__(self) -> int:
        return self._size if self.shared else len(self.base)

    def get(self, key: Key) -> Value | None:
        """The value under `key`, or None."""
        found = self.over.get(key)
        if found is None:
            return self.base.get(key)
        return None if found is self.gone else found

    def put(self, key: Key, value: Value) -> bool:
        """Set a value; whether the key is new."""
        if not self.shared:
            new = key not in self.base
            self.base[key] = value
            return new
        new = self.get(key) is None
        self._size += new
        self.over[key] = value
        return new

    def drop(self, key: Key) -> None:
        """Take a key out, if it is there."""
        if not self.shared:
            self.base.pop(key, None)
        elif self.get(key) is not None:
            self._size -= 1
            self.over[key] = self.gone

    def items(self) -> list[tuple[Key, Value]]:
        """Everything, in no order that means anything."""
        if not self.over:
            return list(self.base.items())
        kept = [pair for pair in list(self.base.items()) if pair[0] not in self.over]
        return kept + [pair for pair in list(self.over.items()) if pair[1] is not self.gone]

    def copy(self) -> Layers[Key, Value]:
        """Layers that can be changed while these go on serving. Afterwards these must not be."""
        made = Layers[Key, Value](self.gone)
        made._size, self._size = len(self), len(self)
        made.base, made.over = self.base, self.over.copy()
        made.shared = self.shared = True
        return made

    def settle(self, breathe: Breathe) -> None:
        """Write the sheet into the shared dict. Others that share it then answer as this one does, or wrongly."""
        for key, value in list(self.over.items()):
            if value is self.gone:
                self.base.pop(key, cast("Value", None))
            else:
                self.base[key] = value
            del self.over[key]
            breathe()

    def clear(self, breathe: Breathe) -> None:
        """Let go of everything, piece by piece."""
        empty(self.over, breathe)
        empty(self.base, breathe)
