"""Ask whoever a step asks, with its deadline and its tries.

An asker that answers at once keeps the walk straight; one that returns an awaitable makes it step
aside. A failure that may pass is tried again after a short pause; the others end the run.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from inspect import isawaitable
from typing import Any

import trio
from msgspec import Struct
from msgspec.structs import replace

from gateway.errors import ModelError, in_words, lone, stays_contained
from gateway.flow.aside import Turn as WalkTurn
from gateway.pipelines.spec import StepSpec
from gateway.ports import ModelAnswer, ModelCall

Ask = Callable[[ModelCall], ModelAnswer | Awaitable[ModelAnswer]]
Slot = Callable[[], Awaitable[None]]

# The first pause; doubles with every try. A rate-limited model is asked again within the step's deadline or not at all.
PAUSE_SECONDS = 0.25


class Asked(Struct, frozen=True):
    """An answer to wait for, from one who can say at the deadline why there is none; `late` says '' for no reason."""

    answer: Callable[[], Awaitable[ModelAnswer]]
    late: Callable[[], str]

    def __await__(self) -> Generator[Any, Any, ModelAnswer]:
        return self.answer().__await__()


async def ask(step: StepSpec, call: ModelCall, asker: Ask, turn: WalkTurn, slot: Slot) -> tuple[ModelAnswer, int]:
    """Return the answer and the number of tries it took; `slot` is taken before the first wait.

    Raises `ModelError` when the step gives up.
    """
    tries = 0
    while True:
        tries += 1
        try:
            answer = asker(call)
            if type(answer) is not ModelAnswer and isawaitable(answer):
                answer = await _awaited(step, answer, turn, slot)
            return with_text(answer), tries
        except trio.Cancelled:
            raise
        except BaseException as raised:  # an operator's function, somebody's provider: contained
            if not stays_contained(raised):
                raise
            error = model_error(raised)
            if not error.passing or tries >= step.tries:
                raise error from (raised.__cause__ if error is raised else raised)
        await turn.aside()
        await trio.sleep(PAUSE_SECONDS * 2.0 ** (tries - 1))


def model_error(raised: BaseException) -> ModelError:
    """Return what was raised, alone in a group or not, as the `ModelError` it is or comes to."""
    error = lone(raised)
    return error if isinstance(error, ModelError) else ModelError(in_words(error), passing=False)


def with_text(answer: ModelAnswer) -> ModelAnswer:
    """Return an answer whose text is a plain one, also of a subclass of `str`; raises `ModelError` for any other."""
    if type(answer.text) is str:
        return answer
    if not isinstance(answer.text, str):  # `None` is what some APIs say beside a tool's call
        raise ModelError(f"it answered with {type(answer.text).__name__}, which is no text", passing=False)
    return replace(answer, text=str.__str__(answer.text))


async def _awaited(step: StepSpec, answer: Awaitable[ModelAnswer], turn: WalkTurn, slot: Slot) -> ModelAnswer:
    await turn.aside(answer)
    await slot()
    with trio.move_on_after(step.deadline_seconds):
        return await answer
    why = answer.late() if isinstance(answer, Asked) else ""
    raise ModelError(f"no answer within {step.deadline_seconds:g} s" + (f": {why}" if why else ""), passing=True)
