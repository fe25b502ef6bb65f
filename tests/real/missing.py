"""What to say when a real server cannot be had on this machine."""

from __future__ import annotations


class Missing(Exception):
    """A server is not installed and cannot be; says what would help. The tests that need it are skipped."""
