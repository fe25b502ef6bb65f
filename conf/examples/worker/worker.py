"""A pipeline worker in a program of its own: `python worker.py 127.0.0.1:8420`, with its token in SHOUT_TOKEN.

It needs the official library (grpcio) and the messages that protoc makes of worker.proto, nothing else of the gateway.
What it answers is what the last step of a pipeline says: here, the message in capitals.
"""

from __future__ import annotations

import os
import queue
import sys
import time

import grpc

from gateway.api.v1 import worker_pb2 as api

# Tasks at a time. Each uses up a credit, and each result gives a new one.
AT_ONCE = 4
PAUSE_SECONDS = 1.0


def done(task: api.Task) -> api.TaskResult:
    """Do a task. The same id may come twice: effects on the outside should depend on it."""
    return api.TaskResult(task_id=task.id, output=api.StepOutput(text=task.message.content.upper()))


def work(channel: grpc.Channel, unstored: dict[str, api.TaskResult]) -> None:
    """Serve one connection until the gateway ends it; `unstored` are results it has not confirmed."""
    frames: queue.SimpleQueue[api.WorkerFrame] = queue.SimpleQueue()
    frames.put(api.WorkerFrame(hello=api.WorkerHello(worker="shout", instance=str(os.getpid()))))
    for result in unstored.values():
        frames.put(api.WorkerFrame(result=result))
    frames.put(api.WorkerFrame(credit=api.Credit(tasks=AT_ONCE)))
    call = channel.stream_stream(
        "/oclaw.v1.Worker/Work", api.WorkerFrame.SerializeToString, api.GatewayFrame.FromString
    )
    token = f"Bearer {os.environ['SHOUT_TOKEN']}"
    for frame in call(iter(frames.get, None), metadata=[("authorization", token)], wait_for_ready=True):
        if frame.HasField("task"):
            result = unstored[frame.task.id] = done(frame.task)
            frames.put(api.WorkerFrame(result=result))
            frames.put(api.WorkerFrame(credit=api.Credit(tasks=1)))
        elif frame.HasField("stored"):
            unstored.pop(frame.stored.task_id, None)


def main() -> None:
    unstored: dict[str, api.TaskResult] = {}
    with grpc.insecure_channel(sys.argv[1]) as channel:
        while True:
            try:
                work(channel, unstored)
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
                # The gateway restarts, or is gone for a moment.
                sys.stderr.write(f"{error.details()}\n")
            time.sleep(PAUSE_SECONDS)


main()
