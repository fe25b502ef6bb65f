"""What to say when a real server cannot be had on this machine."""

from __future__ import annotations


class Missing(Exception):
    """A server is not installed and cannot be; says what would help. The tests that need it are skipped."""


def last_words(said: str | bytes | None) -> str:
    """What an installer that failed said last: bytes of its output, where nobody decoded them, or nothing at all."""
    text = said.decode(errors="replace") if isinstance(said, bytes) else said or ""
    return (text.strip().splitlines() or ["it gave no reason"])[-1]
