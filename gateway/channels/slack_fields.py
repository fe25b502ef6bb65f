"""Fields of payloads that were verified and are still not believed: of a wrong type, they are missing. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def text(source: Mapping[str, Any], key: str) -> str:
    """Return a text, or ''."""
    value = source.get(key)
    return value if isinstance(value, str) else ""


def table(source: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return an object, or an empty one."""
    value = source.get(key)
    return value if isinstance(value, dict) else {}


def listed(source: Mapping[str, Any], key: str) -> list[Any]:
    """Return an array, or an empty one."""
    value = source.get(key)
    return value if isinstance(value, list) else []
