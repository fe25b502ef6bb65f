"""An access token that is asked for once, however many need it, and renewed before it ends.

Platforms give tokens for an hour or two and count how often they are asked. One caller fetches, the
others wait for it; shortly before the end the next caller fetches a new one while the old still works.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio
from msgspec import Struct


class AccessToken(Struct, frozen=True):
    """A token and the epoch second at which it ends; `inf` for one that does not."""

    value: str
    expires_at: float

    def __repr__(self) -> str:
        return f"AccessToken(expires_at={self.expires_at})"


class TokenCache:
    """`fetch` gets a new token and raises what it likes; `now` gives epoch seconds."""

    def __init__(
        self, fetch: Callable[[], Awaitable[AccessToken]], now: Callable[[], float], *, early_seconds: float = 300.0
    ) -> None:
        self._fetch, self._now, self._early = fetch, now, early_seconds
        self._token: AccessToken | None = None
        self._fetching: trio.Event | None = None
        self._failed: Exception | None = None

    async def get(self) -> str:
        """Return a token that is valid now. Raises what `fetch` raised when there is none."""
        while True:
            now, token = self._now(), self._token
            valid = token is not None and now < token.expires_at
            if token is not None and now < token.expires_at - self._early:
                return token.value
            if self._fetching is None:
                return await self._renewed(token if valid else None)
            if token is not None and valid:
                return token.value
            fetching = self._fetching
            await fetching.wait()
            if self._failed is not None and self._fetching is None:
                raise self._failed

    def forget(self, value: str) -> None:
        """The platform does not take this token (401): the next caller gets another one."""
        if self._token is not None and self._token.value == value:
            self._token = None

    async def _renewed(self, still_good: AccessToken | None) -> str:
        done = self._fetching = trio.Event()
        self._failed = None
        try:
            self._token = await self._fetch()
        except Exception as error:
            if still_good is not None:
                return still_good.value
            self._failed = error
            raise
        finally:  # also when cancelled: then one of those who wait fetches
            self._fetching = None
            done.set()
        return self._token.value
