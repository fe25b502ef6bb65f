"""A model in bad weather: slow, and when fickle out of order, broken or silent, as the weather's dice fall."""

from __future__ import annotations

import random
from typing import Any, Protocol

import trio

from gateway.errors import ModelError
from gateway.ports import ModelAnswer, ModelCall


class Weather(Protocol):
    """What decides how the model fares."""

    chance: random.Random
    calm: bool


class FickleModel:
    """Repeats what it is asked, if it can."""

    def __init__(self, world: Weather, *, fickle: bool) -> None:
        self._world, self._fickle = world, fickle

    async def answer(self, call: ModelCall) -> ModelAnswer:
        world, roll = self._world, self._world.chance.random()
        await trio.sleep(0.01 + roll * 2)
        if self._fickle and not world.calm:
            if roll < 0.3:
                raise ModelError("503", passing=True)
            if roll < 0.4:
                raise KeyError("a bug of the provider")
            if roll < 0.5:
                await trio.sleep(100)
        return ModelAnswer(text=call.turns[-1].text)

    async def stream(self, call: ModelCall) -> Any:
        for word in call.turns[-1].text.split():
            await trio.sleep(0.3)
            if not self._world.calm and self._world.chance.random() < 0.1:
                raise ModelError("the model broke off", passing=True)
            yield word
