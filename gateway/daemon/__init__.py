"""The daemon: build the parts, open the root nursery, be ready, obey signals, drain.

The only package that knows all the others. `run` is what `oclaw run` calls.
"""

from __future__ import annotations

import sys
from pathlib import Path

# sysexits.h: EX_CONFIG, which systemd shows as such and does not restart on.
WRONG_CONFIGURATION = 78
# sysexits.h: EX_TEMPFAIL: another process holds the state directory or the port, the disk is full, or memory ran out.
NOT_NOW = 75
_NO_MEMORY = (
    "oclaw: The memory that the gateway may take is used up. What was acknowledged is in the journal and goes on with "
    "the next start. Allow it more (ulimit -v), or let it keep less: max_waiting in [flow] and in [delivery].\n"
)


def run(directory: Path) -> int:
    """Run the gateway configured in `directory` until it is told to stop; return the exit code."""
    try:
        return _run(directory)
    except Exception as error:
        if not _lacked_memory(error):
            raise
        sys.stderr.write(_NO_MEMORY)
        return NOT_NOW


def _run(directory: Path) -> int:
    from gateway.config.load import load
    from gateway.errors import AddressTaken, JournalError, OclawError, SettingErrors
    from gateway.plugins import PluginTable

    plugins = PluginTable(directory / "hooks")
    try:
        settings = load(directory, plugins)
        import trio

        from gateway.daemon.live import live
        from gateway.daemon.telling import open_telling

        with open_telling(settings) as telling:
            return trio.run(live, settings, plugins, telling)
    except* SettingErrors as group:
        code = _told(group, WRONG_CONFIGURATION)
    except* (JournalError, AddressTaken) as group:
        code = _told(group, NOT_NOW)
    except* OclawError as group:
        code = _told(group, 1)
    return code


def _told(group: BaseExceptionGroup[BaseException], code: int) -> int:
    sys.stderr.writelines(f"oclaw: {error}\n" for error in _leaves(group))
    return code


def _lacked_memory(error: BaseException | None) -> bool:
    """Tell whether memory is what lacked, in this error or in one that it followed from."""
    if error is None or isinstance(error, MemoryError):
        return error is not None
    followed = [error.__cause__, error.__context__]
    if isinstance(error, BaseExceptionGroup):
        followed += error.exceptions
    return any(_lacked_memory(each) for each in followed)


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    leaves: list[BaseException] = []
    for error in group.exceptions:
        leaves += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return leaves
