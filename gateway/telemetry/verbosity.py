"""How much is told: from which level on lines are logged, and whether they may hold texts that quote messages.

One object that everything reads which writes a line or shows one, so that a reload changes all of it at once.
"""

from __future__ import annotations

from gateway.telemetry.lines import LEVELS


class Verbosity:
    """`unlogged` holds the levels below `level`; it stays the same object. Who asks for "debug" asks for everything."""

    def __init__(self, level: str = "info", *, texts: bool = False) -> None:
        self.unlogged: set[str] = set()
        self.change(level, texts=texts)

    def change(self, level: str, *, texts: bool) -> None:
        """Log from this level on, with or without texts, beginning with the next notice."""
        self.level, self.texts = level, texts
        self.unlogged.clear()
        self.unlogged |= {name for name, rank in LEVELS.items() if rank < LEVELS[level]}
