"""A pipeline worker written with the official library alone, as a program of its own.

Usage: `python worker.py PORT NAME [hang] [wait]`. Prints a line for every task; answers with the text in capitals, or,
told to hang, with nothing at all. Told to wait it connects when it reads a line.
"""

from __future__ import annotations

import os
import queue
import sys

import grpc

from gateway.api.v1 import worker_pb2 as pb


def main() -> None:
    port, name, hangs = sys.argv[1], sys.argv[2], "hang" in sys.argv
    frames: queue.SimpleQueue[pb.WorkerFrame] = queue.SimpleQueue()
    frames.put(pb.WorkerFrame(hello=pb.WorkerHello(worker=name, instance=str(os.getpid()))))
    frames.put(pb.WorkerFrame(credit=pb.Credit(tasks=8 if hangs else 4)))
    if "wait" in sys.argv:
        print("waiting", flush=True)
        sys.stdin.readline()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        work = channel.stream_stream(
            "/oclaw.v1.Worker/Work", pb.WorkerFrame.SerializeToString, pb.GatewayFrame.FromString
        )
        metadata = (("authorization", f"Bearer {os.environ['WORK_TOKEN']}"),)
        for frame in work(iter(frames.get, None), metadata=metadata):
            kind = frame.WhichOneof("kind")
            if kind == "task":
                task = frame.task
                print("task", task.id, task.attempt, task.input["user_message"], flush=True)
                if not hangs:
                    output = pb.StepOutput(text=task.message.content.upper())
                    frames.put(pb.WorkerFrame(result=pb.TaskResult(task_id=task.id, output=output)))
                    frames.put(pb.WorkerFrame(credit=pb.Credit(tasks=1)))
            else:
                print(kind, flush=True)


main()
