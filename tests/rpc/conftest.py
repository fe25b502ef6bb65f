from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rpc.daemon import Daemon, Till


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    """A daemon that is configured by the test, and killed after it if it still runs."""
    with tempfile.TemporaryDirectory() as folder:  # short: a Unix socket's path may have 107 bytes
        one = Daemon(Path(folder))
        yield one
        if hasattr(one, "process"):
            one.kill()


@pytest.fixture(scope="module")
def shop() -> Iterator[Daemon]:
    """One daemon for all tests of a file that leave it as it was."""
    with tempfile.TemporaryDirectory() as folder:
        one = Daemon(Path(folder))
        one.write()
        one.start()
        yield one
        lived = one.process.poll() is None
        one.kill()
        assert lived, "\n".join(str(line.get("text", line)) for line in one.lines[-60:])


@pytest.fixture
def till(shop: Daemon) -> Iterator[Till]:
    """A client of the shared daemon."""
    with shop.dial() as channel:
        yield Till(channel)
