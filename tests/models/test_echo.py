"""What the model says that says what it heard."""

from __future__ import annotations

import pytest

from gateway.models.echo import Echo, Settings
from gateway.ports import ModelCall, Turn


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{text}", "hi {text}"),
        ("You said: {text}.", "You said: hi {text}."),
        ("{text}? {text}!", "hi {text}? hi {text}!"),
        ("We are closed.", "We are closed."),
    ],
)
async def test_a_template_is_said_as_it_is_written(template: str, said: str) -> None:
    call = ModelCall(model="echo", turns=(Turn("assistant", "hello"), Turn("user", "hi {text}")))
    model = Echo(Settings(template=template))
    assert model.answer(call).text == said
    assert "".join([piece async for piece in model.stream(call)]) == said
