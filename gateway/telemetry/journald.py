"""Tell systemd's journal how grave a line is, so that `journalctl -p warning` finds it.

A line that begins with "<3>" is kept under that priority, without those three characters (sd-daemon(3)). Only where the
journal itself listens: in a file or a pipe they would be part of the line.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import IO

# syslog(3)'s numbers.
_PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3}


def is_journald(stream: IO[str], environ: Mapping[str, str] = os.environ) -> bool:
    """Say whether what is written there goes to systemd's journal: JOURNAL_STREAM names its device and inode."""
    named = environ.get("JOURNAL_STREAM", "")
    if not named:
        return False
    try:
        there = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return named == f"{there.st_dev}:{there.st_ino}"


def marked(text: str, level: str) -> str:
    """Return each line of `text` with its level in front; one that the journal does not know counts as information."""
    mark = f"<{_PRIORITIES.get(level, 6)}>"
    return "".join(mark + line for line in text.splitlines(keepends=True))
