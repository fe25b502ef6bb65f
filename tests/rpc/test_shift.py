"""A worker is heard whatever it waits for itself, and hears of each result once its message's walk has ended."""

from __future__ import annotations

from collections.abc import AsyncIterator
from math import inf
from typing import Any

import trio
import trio.testing

from gateway.api.rpc.working import WorkerService
from gateway.api.v1 import worker_pb2 as pb
from gateway.config.secret import Secret
from gateway.message.lifecycle import InboundState
from gateway.pipelines.workers import WorkerPool
from gateway.ports import Result
from gateway.testing.channels import FakeResults
from tests.pipelines.test_workers import Office


class Call:
    """What a service sees of a worker's call: the worker's frames, and a connection that takes every answer at once."""

    def __init__(self) -> None:
        self.metadata = {"authorization": "Bearer work-token-0123456789"}
        self.heard: list[pb.GatewayFrame] = []
        self._frames, self._come = trio.open_memory_channel[pb.WorkerFrame](inf)

    def says(self, **kind: Any) -> None:
        self._frames.send_nowait(pb.WorkerFrame(**kind))

    def has_done(self, task_id: str) -> None:
        self.says(result=pb.TaskResult(task_id=task_id, output=pb.StepOutput(text="done")))

    def stored(self) -> set[str]:
        return {frame.stored.task_id for frame in self.heard if frame.HasField("stored")}

    async def recv_message(self) -> pb.WorkerFrame:
        return await self._come.receive()

    def __aiter__(self) -> AsyncIterator[pb.WorkerFrame]:
        return self._come.__aiter__()

    def send_message_now(self, frame: pb.GatewayFrame) -> bool:
        self.heard.append(frame)
        return True

    async def send_message(self, frame: pb.GatewayFrame) -> None:
        raise AssertionError("everything left at once")


def connected(nursery: trio.Nursery, pool: WorkerPool, results: FakeResults) -> Call:
    call = Call()
    call.says(hello=pb.WorkerHello(worker="loud"))
    service = WorkerService(
        pool,
        results,
        tokens=lambda: {"loud": Secret("env:T", "work-token-0123456789")},
        names=lambda: ["loud"],
        draining=trio.Event(),
    )
    nursery.start_soon(service.Work, call)
    return call


async def test_a_worker_is_heard_however_many_of_its_messages_are_still_walking(nursery: trio.Nursery) -> None:
    office = Office(nursery)
    call = connected(nursery, office.pool, FakeResults())
    for number in range(2000):
        call.has_done(f"e{number}/echo/first")
    await office.asks("m1")
    call.says(credit=pb.Credit(tasks=1))
    await trio.testing.wait_all_tasks_blocked()
    assert [frame.task.id for frame in call.heard if frame.HasField("task")] == ["m1/echo/shout"]


async def test_all_results_of_a_message_are_told_when_its_walk_has_ended(nursery: trio.Nursery) -> None:
    results = FakeResults()
    call = connected(nursery, WorkerPool(lambda: 0.0), results)
    for step in ("first", "second", "first"):
        call.has_done(f"e1/echo/{step}")
    call.has_done("e2/echo/first")
    await trio.testing.wait_all_tasks_blocked()
    assert not call.stored()
    results.put(Result(envelope_id="e1", state=InboundState.DONE))
    await trio.testing.wait_all_tasks_blocked()
    assert call.stored() == {"e1/echo/first", "e1/echo/second"}
    call.has_done("e1/echo/third")
    await trio.testing.wait_all_tasks_blocked()
    assert "e1/echo/third" in call.stored()
