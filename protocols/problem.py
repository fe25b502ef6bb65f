"""Problem documents (RFC 9457): the one shape of every error answer."""

from __future__ import annotations

from typing import Any

from protocols.http1.messages import Fields, Response
from protocols.http1.phrases import phrase
from protocols.json_text import encode_json

CONTENT_TYPE = ("Content-Type", "application/problem+json")


def problem(
    status: int,
    detail: str = "",
    *,
    title: str = "",
    kind: str = "about:blank",
    headers: Fields = (),
    members: dict[str, Any] | None = None,
) -> Response:
    """Build the error answer `status`. `members` are JSON values added at the top level."""
    document: dict[str, Any] = {"type": kind, "title": title or phrase(status, "Error"), "status": status}
    if detail:
        document["detail"] = detail
    if members:
        document.update(members)
    return Response(status, (CONTENT_TYPE, *headers), encode_json(document))
