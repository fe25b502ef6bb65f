"""What an endpoint raises when it cannot do what was asked; `router.py` makes the answer of it."""

from __future__ import annotations

from gateway.errors import OclawError


class NotThere(OclawError):
    """Nothing of that name or id exists (any more). Answered 404."""


class NotPossible(OclawError):
    """It exists, and its state forbids what was asked. Answered 409."""


class BadField(OclawError):
    """A body or query that does not say what is needed; names the field. Answered 422, or 400 when it is no JSON."""

    def __init__(self, detail: str, *, status: int = 422) -> None:
        self.status = status
        super().__init__(detail)
