"""The daemon: build the parts, open the root nursery, be ready, obey signals, drain.

The only package that knows all the others. `run` is what `oclaw run` calls.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

# sysexits.h: EX_CONFIG, which systemd shows as such and does not restart on: configuration, key ring, journal or their
# owner are as no further start would find them otherwise.
WRONG_CONFIGURATION = 78
# sysexits.h: EX_TEMPFAIL: another process holds the state directory or the port, the disk is full, or memory ran out.
NOT_NOW = 75
_STANDARD_ERROR = 2
_NO_MEMORY = (
    "oclaw: The memory that the gateway may take is used up. What was acknowledged is in the journal and goes on with "
    "the next start. Allow it more (ulimit -v), or let it keep less: max_waiting in [flow] and in [delivery].\n"
)


def run(directory: Path) -> int:
    """Run the gateway configured in `directory` until it is told to stop; return the exit code."""
    _fill_closed_streams()
    try:
        # A relative path would stay in the folder it was started in when a deployment puts another in its place.
        return _run(directory.absolute())
    except Exception as error:
        if not _lacked_memory(error):
            raise
        sys.stderr.write(_NO_MEMORY)
        return NOT_NOW


def _fill_closed_streams() -> None:
    """Let nothing be what a shell has closed (`<&- >&- 2>&-`): the next file to be opened would stand in its place."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STANDARD_ERROR:
        pass
    os.close(descriptor)
    if sys.stderr is None:
        sys.stderr = os.fdopen(_STANDARD_ERROR, "w", encoding="utf-8", closefd=False)


def _run(directory: Path) -> int:
    from gateway.config.load import load
    from gateway.errors import OclawError, SettingErrors
    from gateway.plugins import PluginTable

    plugins = PluginTable(directory / "hooks")
    try:
        settings = load(directory, plugins)
        import trio

        from gateway.daemon.live import live
        from gateway.daemon.telling import open_telling

        with open_telling(settings) as telling:
            return trio.run(live, settings, plugins, telling)
    except* OclawError as group:
        leaves = _leaves(group)
        for error in leaves:
            _say(f"oclaw: {error.listed() if isinstance(error, SettingErrors) else error}\n")
        # What needs a person is not mended by what passes beside it.
        code = max(map(exit_code, leaves))
    return code


def exit_code(error: BaseException) -> int:
    """Return what systemd is told of an error that ended the gateway: whether to start it again."""
    from gateway import errors

    match error:
        case errors.KeyRingUnwritten():
            return NOT_NOW
        case errors.SettingErrors() | errors.SettingError() | errors.KeyRingError() | errors.UnknownDictionary():
            return WRONG_CONFIGURATION
        case errors.JournalDamaged() | errors.JournalForbidden():
            return WRONG_CONFIGURATION
        case errors.JournalError() | errors.AddressTaken():
            return NOT_NOW
        case _:
            return 1


def _say(text: str) -> None:
    from gateway.telemetry.journald import is_journald, marked
    from gateway.telemetry.lines import harmless

    text = harmless(text.replace("\t", " "))  # it quotes files; carets under a line are put by its characters
    sys.stderr.write(marked(text, "error") if is_journald(sys.stderr) else text)


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
