"""`oclaw.v1.Models`: the configured models for programs that hold a token of [access] models."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager, nullcontext
from inspect import isawaitable
from typing import Any, Literal

import trio
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from gateway.api.rpc.forms import MOST_ID_CHARACTERS
from gateway.api.rpc.refusals import FieldError, bad_field, bearer_in, unauthenticated
from gateway.api.v1 import models_pb2 as pb
from gateway.api.v1.models_grpc import ModelsBase
from gateway.channels.trust import Tokens
from gateway.config.secret import Secret
from gateway.errors import ModelError, in_words, lone, stays_contained
from gateway.models.registry import Models
from gateway.pipelines.steps import with_text
from gateway.ports import ModelCall, Provider, Turn

Role = Literal["system", "user", "assistant"]
_ROLES: dict[int, Role] = {pb.ROLE_SYSTEM: "system", pb.ROLE_USER: "user", pb.ROLE_ASSISTANT: "assistant"}
_FINISHES = {"length": pb.FINISH_LENGTH, "content_filter": pb.FINISH_FILTERED, "filtered": pb.FINISH_FILTERED}


class ModelsService(ModelsBase):
    """`models` and `tokens` as they are configured at the moment."""

    def __init__(self, models: Callable[[], Models], tokens: Callable[[], Mapping[str, Secret]]) -> None:
        self._models, self._tokens = models, tokens

    async def Invoke(self, stream: Any) -> None:
        call, provider = await self._call(stream)
        with _refusals():
            answer = provider.answer(call)
            answer = with_text(await answer if isawaitable(answer) else answer)
        usage = pb.Usage(input_tokens=answer.input_tokens, output_tokens=answer.output_tokens)
        finish = _FINISHES.get(answer.finish, pb.FINISH_STOP)
        await stream.send_message(pb.InvokeResponse(text=answer.text, model=call.model, finish=finish, usage=usage))

    async def InvokeStream(self, stream: Any) -> None:
        call, provider = await self._call(stream)
        with _refusals():
            pieces = provider.stream(call)
            # `Provider` promises an iterator; of those only a generator has an end to be brought to.
            async with aclosing(pieces) if isinstance(pieces, AsyncGenerator) else nullcontext():
                async for piece in pieces:
                    await stream.send_message(pb.InvokePiece(text=piece))
        await stream.send_message(pb.InvokePiece(finish=pb.FINISH_STOP, model=call.model))

    async def _call(self, stream: Any) -> tuple[ModelCall, Provider]:
        tokens = Tokens({name: token.reveal() for name, token in self._tokens().items()})
        if not tokens.holder(bearer_in(stream.metadata)):
            raise unauthenticated()
        request = await stream.recv_message()
        if request is None:
            raise GRPCError(Status.INVALID_ARGUMENT, "The call ended without a request.")
        try:
            call = _call_of(request)
        except FieldError as error:
            raise bad_field(error) from error
        try:
            return call, self._models().provider(call.model)
        except ModelError as error:
            raise GRPCError(Status.NOT_FOUND, f"{error.why}.") from error


@contextmanager
def _refusals() -> Iterator[None]:
    """Make a status of what a provider raises; one that calls `sys.exit()` fails this call alone."""
    try:
        yield
    except trio.Cancelled:
        raise
    except BaseException as raised:
        error = lone(raised)
        if isinstance(error, ModelError):
            raise _failed(error) from raised
        if isinstance(raised, Exception) or not stays_contained(raised):
            raise
        raise RuntimeError(in_words(error)) from raised


def _call_of(request: pb.InvokeRequest) -> ModelCall:
    if not request.model:
        raise FieldError("model", "is empty; it must be a configured name or a task")
    if len(request.model) > MOST_ID_CHARACTERS:
        # Looking for names that are near takes a second for one of 4 MB.
        raise FieldError("model", f"has {len(request.model)} characters; at most {MOST_ID_CHARACTERS} are taken")
    if bool(request.prompt) == bool(request.turns):
        raise FieldError("prompt", "must be given, or else turns: one of them")
    turns = tuple([_turn(index, turn) for index, turn in enumerate(request.turns)])
    options: dict[str, Any] = {"top_p": request.top_p} if request.HasField("top_p") else {}
    if request.stop:
        options["stop"] = list(request.stop)
    return ModelCall(
        model=request.model,
        turns=turns or (Turn("user", request.prompt),),
        max_tokens=request.max_tokens,
        temperature=request.temperature if request.HasField("temperature") else None,
        options=options,
    )


def _turn(index: int, turn: pb.Turn) -> Turn:
    role = _ROLES.get(turn.role)
    if role is None:
        raise FieldError(f"turns[{index}].role", f"is {turn.role}; it must be system, user or assistant")
    return Turn(role, turn.content)


def _failed(error: ModelError) -> GRPCError:
    return GRPCError(Status.UNAVAILABLE if error.passing else Status.FAILED_PRECONDITION, f"{error.why}.")
