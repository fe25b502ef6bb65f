"""The server, the answers it awaits and its journal share one watch: a part with one of its own costs every message."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from gateway.daemon.live import _step_failed
from gateway.notices import Notice, RequestFailed
from tests.support.daemon import daemon, scratch_folder

FILES = {
    "oclaw.toml": """
[gateway]
log_format = "json"

[listen]
addresses = ["127.0.0.1:0"]

[channels.chat]
type = "webchat"
"""
}


@pytest.mark.skipif(sys.platform != "linux", reason="what a process has open is read from /proc")
def test_the_journal_rings_the_loop_through_the_shared_watch() -> None:
    with scratch_folder(FILES) as folder, daemon(folder) as running:
        open_now = [str(path.readlink()) for path in Path(f"/proc/{running.process.pid}/fd").iterdir()]
        listeners = 2  # the port and the control socket; each has a knock of its own
        assert open_now.count("anon_inode:[eventfd]") == listeners + 1


def test_a_bug_in_a_step_is_told_and_only_what_leaves_a_message_standing_ends_the_gateway() -> None:
    notices: list[Notice] = []
    telling = SimpleNamespace(report=notices.append)
    _step_failed(telling, KeyError("a bug of ours"))  # type: ignore[arg-type]
    assert notices == [RequestFailed("a step of a message", "KeyError: 'a bug of ours'")]
    for error in (MemoryError(), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            _step_failed(telling, error)  # type: ignore[arg-type]
