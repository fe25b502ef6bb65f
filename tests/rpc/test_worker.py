"""Pipeline workers over gRPC: one is killed in the middle of a message, and another finishes it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import pytest

from gateway.api.v1 import worker_pb2 as pb
from tests.rpc.daemon import HOUSE, Daemon, Till, bearer
from tests.support.ports import held_port

WORK_TOKEN = "work-token-0123456789"
STEP = "{{name: shout, worker: loud, deadline_seconds: {seconds}, tries: {tries}}}"
ACCESS = '[access]\nworkers = { loud = "env:WORK_TOKEN", unused = "env:ASK_TOKEN" }\n'


# A machine that stands still for a second takes a try from a task with a deadline of one.
MANY = 8


class Worker:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def connects(self) -> None:
        """Have one that was told to wait connect."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")

    def says(self, first: str) -> list[str]:
        """Return the next line that begins with that word, as words."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(first):
                return line.split()
        raise AssertionError("the worker has ended")


@contextmanager
def worker(daemon: Daemon, *arguments: str) -> Iterator[Worker]:
    environment = {**os.environ, "PYTHONPATH": str(HOUSE), "WORK_TOKEN": WORK_TOKEN}
    command = [sys.executable, str(HOUSE / "tests/rpc/worker.py"), str(daemon.port), "loud", *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, bufsize=1, env=environment) as process:
        try:
            yield Worker(process)
        finally:
            process.kill()


def configure(daemon: Daemon, *, seconds: float = 60, tries: int = 3) -> None:
    daemon.write(more=ACCESS, pipelines={"echo": f"pipeline: [{STEP.format(seconds=seconds, tries=tries)}]"})
    daemon.start()


def test_a_worker_does_a_step_and_hears_when_its_result_is_stored(daemon: Daemon) -> None:
    configure(daemon)
    with worker(daemon) as loud, daemon.dial() as channel:
        response = Till(channel).send("hello", wait=60)
        assert response.replies.replies[0].message.content == "HELLO"
        _, id, attempt, text = loud.says("task")
        assert (id, attempt, text) == (f"{response.envelope_id}/echo/shout", "1", "hello")
        assert loud.says("stored")
        daemon.until("oclaw_workers", 1)


def test_a_task_of_a_worker_that_is_killed_goes_to_another_under_the_same_id(daemon: Daemon) -> None:
    configure(daemon)
    with daemon.dial() as channel:
        till = Till(channel)
        with worker(daemon, "hang") as hung:
            waiting = till.send_soon("precious", wait=60)
            _, id, attempt, _ = hung.says("task")
            assert attempt == "1"
            with worker(daemon) as loud:
                loud.says("welcome")
                hung.process.kill()
                assert waiting.result().replies.replies[0].message.content == "PRECIOUS"
                assert loud.says("task") == ["task", id, "2", "precious"]


def test_a_worker_that_hangs_with_its_connection_open_loses_its_task_to_another_at_the_deadline(
    daemon: Daemon,
) -> None:
    configure(daemon, seconds=1, tries=MANY)
    with daemon.dial() as channel, worker(daemon, "wait") as loud, worker(daemon, "hang") as hung:
        till = Till(channel)
        # Ready before the tries begin to be counted: on a busy machine a worker takes longer to start than all of them.
        loud.says("waiting")
        first = till.send_soon("precious", wait=60, conversation="a")
        hung.says("task")
        second = till.send_soon("dear", wait=60, conversation="b")
        hung.says("task")
        loud.connects()
        # The hung one has credit left, and more of it; it is still not asked again while another is there.
        assert first.result().replies.replies[0].message.content == "PRECIOUS"
        assert second.result().replies.replies[0].message.content == "DEAR"
        told: set[str] = set()
        while told != {"precious", "dear"}:
            told.add(loud.says("task")[3])
        assert hung.says("withdrawn")
        assert hung.process.poll() is None


def test_a_worker_that_is_frozen_loses_its_task_to_another(daemon: Daemon) -> None:
    configure(daemon, seconds=1, tries=MANY)
    with daemon.dial() as channel, worker(daemon) as frozen, worker(daemon) as loud:
        frozen.says("welcome")
        loud.says("welcome")
        frozen.process.send_signal(signal.SIGSTOP)
        try:
            texts = [f"precious {number}" for number in range(6)]
            waiting = [Till(channel).send_soon(text, wait=60, conversation=text) for text in texts]
            assert [each.result().replies.replies[0].message.content for each in waiting] == [t.upper() for t in texts]
        finally:
            frozen.process.send_signal(signal.SIGCONT)


def test_a_message_waits_for_its_worker(daemon: Daemon) -> None:
    configure(daemon)
    with daemon.dial() as channel:
        waiting = Till(channel).send_soon("early", wait=60)
        daemon.until("oclaw_accepted_total", 1)
        with worker(daemon):
            assert waiting.result().replies.replies[0].message.content == "EARLY"


def test_a_message_whose_worker_never_comes_is_a_dead_letter_and_not_lost(daemon: Daemon) -> None:
    configure(daemon, seconds=0.1, tries=2)
    with daemon.dial() as channel, pytest.raises(grpc.RpcError) as caught:
        Till(channel).send("alone", wait=60)
    assert caught.value.code() is grpc.StatusCode.INTERNAL


def test_a_message_too_large_for_a_worker_s_client_is_a_dead_letter_and_ends_no_call(busy: Daemon) -> None:
    with busy.dial() as channel, worker(busy) as loud:
        till = Till(channel)
        with pytest.raises(grpc.RpcError) as caught:
            till.send("x" * 2_500_000, wait=60, conversation="large")
        assert caught.value.code() is grpc.StatusCode.INTERNAL
        assert till.send("small", wait=60).replies.replies[0].message.content == "SMALL"
        assert loud.says("task")[3] == "small"


@pytest.mark.parametrize(
    ("token", "frame", "status"),
    [
        ("", pb.WorkerFrame(hello=pb.WorkerHello(worker="loud")), grpc.StatusCode.UNAUTHENTICATED),
        (WORK_TOKEN, pb.WorkerFrame(hello=pb.WorkerHello(worker="unused")), grpc.StatusCode.PERMISSION_DENIED),
        ("ask-token-0123456789", pb.WorkerFrame(hello=pb.WorkerHello(worker="unused")), grpc.StatusCode.NOT_FOUND),
        (WORK_TOKEN, pb.WorkerFrame(credit=pb.Credit(tasks=1)), grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
def test_who_may_not_work_here_is_told_why(
    busy: Daemon, token: str, frame: pb.WorkerFrame, status: grpc.StatusCode
) -> None:
    with busy.dial() as channel, pytest.raises(grpc.RpcError) as caught:
        work = channel.stream_stream(
            "/oclaw.v1.Worker/Work", pb.WorkerFrame.SerializeToString, pb.GatewayFrame.FromString
        )
        list(work(iter([frame]), metadata=bearer(token), timeout=60))
    assert caught.value.code() is status


@pytest.fixture(scope="module")
def busy() -> Iterator[Daemon]:
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        daemon = Daemon(Path(folder))
        configure(daemon)
        yield daemon
        daemon.kill()


def test_the_examples_worker_answers_and_comes_back_to_a_gateway_that_was_restarted(daemon: Daemon) -> None:
    example = HOUSE / "conf" / "examples" / "worker"
    yaml = (example / "pipelines.d" / "shout.yaml").read_text("utf-8")
    access = ACCESS.replace("loud", "shout")
    with held_port() as port:
        daemon.write(more=access, pipelines={"echo": yaml})
        settings = daemon.folder / "oclaw.toml"
        settings.write_text(settings.read_text("utf-8").replace("127.0.0.1:0", f"127.0.0.1:{port}"))
        daemon.start()
        environment = {**os.environ, "PYTHONPATH": str(HOUSE), "SHOUT_TOKEN": WORK_TOKEN}
        command = [sys.executable, str(example / "worker.py"), f"127.0.0.1:{port}"]
        with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
            try:
                for text in ("before", "after"):
                    with daemon.dial() as channel:
                        response = Till(channel).send(text, wait=60)
                        assert response.replies.replies[0].message.content == text.upper()
                    daemon.ask_to_stop()
                    assert daemon.ended() == 0
                    if text == "before":
                        daemon.start()
                assert process.poll() is None
            finally:
                process.kill()
