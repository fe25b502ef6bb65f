"""`oclaw.v1.Worker`: one call is one worker's connection; what it may have is decided by the pool."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from typing import Any, assert_never

import trio
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from gateway.api.rpc.forms import MOST_BYTES, message_to, moment, struct_to
from gateway.api.rpc.refusals import bearer_in, duration, unauthenticated
from gateway.api.v1 import worker_pb2 as pb
from gateway.api.v1.worker_grpc import WorkerBase
from gateway.channels.line import Line
from gateway.channels.trust import Tokens
from gateway.config.secret import Secret
from gateway.pipelines.workers import Desk, Failure, Given, Output, Withdrawn, Work, WorkerPool
from gateway.ports import Results

HELLO_SECONDS = 5.0
# A worker is given no more than it gave credit for; one that asks for more is mistaken.
MOST_CREDIT = 10_000
# Results that a worker has still to hear of: more than a gateway has walks. Those beyond are taken and not confirmed;
# reading goes on, since the walks may wait for what is said next.
_MOST_UNSTORED = 65_536
# Characters of what a worker calls itself that status shows.
MOST_INSTANCE = 80


class WorkerService(WorkerBase):
    """`tokens` by worker's name and the `names` that pipelines use, as they are at the moment."""

    def __init__(
        self,
        pool: WorkerPool,
        results: Results,
        *,
        tokens: Callable[[], Mapping[str, Secret]],
        names: Callable[[], Collection[str]],
        draining: trio.Event,
    ) -> None:
        self._pool, self._results, self._tokens, self._names = pool, results, tokens, names
        self._draining = draining

    async def Work(self, stream: Any) -> None:
        token = bearer_in(stream.metadata)
        tokens = self._tokens()
        if not Tokens({name: secret.reveal() for name, secret in tokens.items()}).holder(token):
            raise unauthenticated()
        hello = await _hello(stream)
        secret = tokens.get(hello.worker)
        if secret is None or not Tokens({hello.worker: secret.reveal()}).holder(token):
            raise GRPCError(Status.PERMISSION_DENIED, f'The token is not that of worker "{hello.worker}".')
        if hello.worker not in self._names():
            raise GRPCError(Status.NOT_FOUND, f'No pipeline has a step for worker "{hello.worker}".')
        await _Shift(stream, hello, self._pool, self._results).through(self._draining)


class _Shift:
    """One worker, from its welcome to its end."""

    def __init__(self, stream: Any, hello: pb.WorkerHello, pool: WorkerPool, results: Results) -> None:
        self._stream, self._pool, self._results = stream, pool, results
        self._line = Line[pb.GatewayFrame](
            stream.send_message,
            frames=2 * MOST_CREDIT + _MOST_UNSTORED,
            acks=False,
            at_once=stream.send_message_now,
        )
        self._desk = Desk(hello.worker, self._say, hello.instance[:MOST_INSTANCE])
        # Tasks whose results the worker still keeps, by the message whose end it is told of.
        self._unstored: defaultdict[str, set[str]] = defaultdict(set)
        self._owed = 0

    async def through(self, draining: trio.Event) -> None:
        welcome = pb.WorkerWelcome(silence_limit=duration(self._pool.silence_seconds))
        self._line.say(pb.GatewayFrame(welcome=welcome))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write)
            nursery.start_soon(self._say_farewell, draining)
            with self._pool.connected(self._desk):
                async for frame in self._stream:
                    self._obey(frame, nursery)
            nursery.cancel_scope.cancel()

    async def _write(self) -> None:
        if not await self._line.run():
            raise GRPCError(Status.UNAVAILABLE, "Reading too slowly; connect again.")

    async def _say_farewell(self, draining: trio.Event) -> None:
        await draining.wait()
        self._line.say(pb.GatewayFrame(farewell=pb.Farewell()))

    def _say(self, word: Given | Withdrawn) -> None:
        match word:
            case Given(work, attempt):
                self._give(pb.GatewayFrame(task=task_to(work, attempt)))
            case Withdrawn(task_id, why):
                self._line.say(pb.GatewayFrame(withdrawn=pb.TaskWithdrawn(task_id=task_id, reason=why)))
            case never:
                assert_never(never)

    def _give(self, frame: pb.GatewayFrame) -> None:
        """Say a task, unless the worker's client would refuse it: that would end its call, and so the next one's."""
        size = frame.ByteSize()
        if size <= MOST_BYTES:
            self._line.say(frame)
            return
        # Its message goes with it whole, beside what input_mapping names.
        why = f"the task has {size:,} bytes and a worker takes {MOST_BYTES:,}; send less, or name less in input_mapping"
        self._pool.turn_down(self._desk, frame.task.id, why)

    def _obey(self, frame: pb.WorkerFrame, nursery: trio.Nursery) -> None:
        match frame.WhichOneof("kind"):
            case "credit":
                if self._desk.credit + frame.credit.tasks > MOST_CREDIT:
                    raise GRPCError(Status.INVALID_ARGUMENT, f"credit: at most {MOST_CREDIT} tasks can be asked for.")
                self._pool.give_credit(self._desk, frame.credit.tasks)
            case "alive":
                self._pool.heard(self._desk, frame.alive.task_id)
            case "result":
                self._pool.finish(self._desk, frame.result.task_id, _outcome(frame.result))
                self._owe(frame.result.task_id, nursery)
            case _:
                raise GRPCError(Status.INVALID_ARGUMENT, "A frame must be credit, result or alive; hello comes once.")

    def _owe(self, task_id: str, nursery: trio.Nursery) -> None:
        """Have the worker told when a result is stored; one task waits for a message, whatever its steps."""
        envelope_id = task_id.partition("/")[0]
        owed = self._unstored.get(envelope_id, ())
        if task_id in owed or self._owed >= _MOST_UNSTORED:
            return
        self._owed += 1
        self._unstored[envelope_id].add(task_id)
        if not owed:
            nursery.start_soon(self._tell_stored, envelope_id)

    async def _tell_stored(self, envelope_id: str) -> None:
        """Let the worker forget results, once the walk that they belonged to has been committed."""
        await self._results.wait(envelope_id)
        stored = self._unstored.pop(envelope_id)
        self._owed -= len(stored)
        for task_id in stored:
            self._line.say(pb.GatewayFrame(stored=pb.ResultStored(task_id=task_id)))


def task_to(work: Work, attempt: int) -> pb.Task:
    """Write a task."""
    envelope = work.envelope
    history = [pb.HistoryTurn(ours=turn.role == "assistant", content=turn.text) for turn in work.history]
    return pb.Task(
        id=work.id,
        attempt=attempt,
        pipeline=work.pipeline,
        step=work.step,
        envelope_id=envelope.id,
        message=message_to(envelope.message),
        input=struct_to(work.inputs),
        history=history,
        deadline=moment(work.deadline),
        trace=envelope.trace,
    )


def _outcome(result: pb.TaskResult) -> Output | Failure:
    match result.WhichOneof("outcome"):
        case "output":
            return Output(result.output.text)
        case "failure":
            return Failure(result.failure.reason, result.failure.retryable)
        case _:
            raise GRPCError(Status.INVALID_ARGUMENT, "result: it must hold output or failure.")


async def _hello(stream: Any) -> pb.WorkerHello:
    frame = None
    with trio.move_on_after(HELLO_SECONDS):
        frame = await stream.recv_message()
    if frame is None or not frame.HasField("hello"):
        raise GRPCError(Status.INVALID_ARGUMENT, "The first frame must be hello, and come at once.")
    hello: pb.WorkerHello = frame.hello
    return hello
