"""The models that operators name, each with the provider that serves it."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

from gateway.errors import ModelError
from gateway.ports import Provider


class Models:
    """A frozen table from name to provider; a reload makes another."""

    def __init__(self, providers: Mapping[str, Provider], tasks: Mapping[str, str] | None = None) -> None:
        self._providers, self._tasks = dict(providers), dict(tasks or {})

    @property
    def names(self) -> frozenset[str]:
        """All configured names."""
        return frozenset(self._providers)

    def provider(self, name: str) -> Provider:
        """Return who serves a model, by its name or by a task it is the default for; raises `ModelError`."""
        provider = self._providers.get(name) or self._providers.get(self._tasks.get(name, ""))
        if provider is None:
            near = get_close_matches(name, [*self._providers, *self._tasks], 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ModelError(f'there is no model "{name}"{hint}', passing=False)
        return provider
