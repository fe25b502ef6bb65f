"""The model that says what it heard: for a first run, for tests, for measuring everything but a model."""

from __future__ import annotations

from collections.abc import AsyncIterator

from msgspec import Struct

from gateway.ports import Kit, ModelAnswer, ModelCall


class Settings(Struct, frozen=True, kw_only=True):
    """`template` is the answer; {text} stands for what was said."""

    template: str = "{text}"


class Echo:
    """Answers at once, so a walk with it never waits."""

    def __init__(self, settings: Settings) -> None:
        self._template = settings.template

    def answer(self, call: ModelCall) -> ModelAnswer:
        """Return the template with what was said last in it, as often as it asks for that."""
        heard = call.turns[-1].text if call.turns else ""
        return ModelAnswer(text=self._template.replace("{text}", heard))

    async def stream(self, call: ModelCall) -> AsyncIterator[str]:
        """Give the answer word by word."""
        text = self.answer(call).text
        start = 0
        while start < len(text):
            end = text.find(" ", start) + 1 or len(text)
            yield text[start:end]
            start = end


def build(_name: str, settings: Settings, _kit: Kit) -> Echo:
    """Build the provider for one configured model."""
    return Echo(settings)
