"""The durable store: what was accepted, what became of it, and which replies are still to go.

`open_journal` keeps it in a SQLite file, `open_memory_journal` in memory for stories on a
mocked clock. Both are a `gateway.ports.Journal` and pass the same contract suite.
"""

from __future__ import annotations

from gateway.journal.memory import Memory, open_memory_journal
from gateway.journal.retention import Retention
from gateway.journal.sqlite import open_journal

FILE_NAME = "journal.sqlite3"
"""What the file is called in the state directory."""

__all__ = ["FILE_NAME", "Memory", "Retention", "open_journal", "open_memory_journal"]
