"""What the gateway may open, and which of its doors are open."""

from __future__ import annotations

import resource

from gateway.cli.checkup import machine
from gateway.daemon import doors


def test_as_many_files_may_be_open_as_the_system_allows() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
        assert machine.files(before[1] - 256).ok, "the gateway raises its limit, so doctor counts with the higher one"
        doors.allow_files()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (before[1], before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
