"""The names of status codes (RFC 9110, section 15), the same under every Python: 3.13 has four of them renamed."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

_RENAMED: Final = {
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
}


def phrase(status: int, otherwise: str) -> str:
    """What a status code is called; `otherwise` for one that has no name."""
    try:
        return _RENAMED.get(status) or HTTPStatus(status).phrase
    except ValueError:
        return otherwise
