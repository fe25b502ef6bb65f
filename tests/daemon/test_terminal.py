"""A gateway that was run from a terminal: SIGHUP reads the configuration again, and ends it when that is gone."""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import subprocess
import sys
import tempfile
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.rules_daemon import PATIENCE_SECONDS, Daemon, write_configuration


@contextmanager
def at_a_terminal(*, nohup: bool) -> Iterator[tuple[Daemon, int]]:
    """Run a gateway in a session whose terminal is the other end of the descriptor."""
    ours, theirs = os.openpty()

    def attach() -> None:
        os.setsid()
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 512))
        signal.signal(signal.SIGHUP, signal.SIG_IGN if nohup else signal.SIG_DFL)

    with tempfile.TemporaryDirectory() as name:  # short: a Unix socket's path may have 107 bytes
        conf = write_configuration(Path(name))
        environment = {**os.environ, "RUNTIME_DIRECTORY": str(conf.parent / "run")}
        command = [sys.executable, "-m", "gateway.cli", "run", "--config", str(conf)]
        process = subprocess.Popen(
            command, env=environment, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, preexec_fn=attach
        )
        os.close(theirs)
        daemon = Daemon(conf, process)
        try:
            daemon.until("GatewayReady")
            yield daemon, ours
        finally:
            process.kill()
            process.wait()
            daemon.reader.join(PATIENCE_SECONDS)
            if process.stderr is not None:
                process.stderr.close()


@pytest.mark.parametrize("nohup", [False, True], ids=["plainly", "with nohup"])
def test_a_gateway_ends_with_its_terminal_unless_it_was_told_not_to(nohup: bool) -> None:
    with at_a_terminal(nohup=nohup) as (daemon, terminal):
        assert resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE) == (512, 512)
        daemon.process.send_signal(signal.SIGHUP)
        daemon.until("ConfigurationLoaded", what="configuration")
        os.close(terminal)
        if nohup:
            daemon.forget()
            daemon.process.send_signal(signal.SIGHUP)
            daemon.until("ConfigurationLoaded", what="configuration")
        else:
            assert daemon.until("GatewayDraining")["why"] == "the terminal was closed"
            assert daemon.process.wait(PATIENCE_SECONDS) == 0
