"""The daemon: build the parts, open the root nursery, be ready, obey signals, drain.

The only package that knows all the others. `run` is what `oclaw run` calls.
"""

from __future__ import annotations

from pathlib import Path

# sysexits.h: EX_CONFIG, which systemd shows as such and does not restart on.
WRONG_CONFIGURATION = 78
# sysexits.h: EX_TEMPFAIL: another daemon holds the state directory, or the disk is full.
NOT_NOW = 75


def run(directory: Path) -> int:
    """Run the gateway configured in `directory` until it is told to stop; return the exit code."""
    import sys

    from gateway.config.load import load
    from gateway.errors import JournalError, OclawError, SettingErrors
    from gateway.plugins import PluginTable

    plugins = PluginTable(directory / "hooks")
    try:
        settings = load(directory, plugins)
        import trio

        from gateway.daemon.live import live

        return trio.run(live, settings, plugins)
    except* SettingErrors as group:
        for problem in _leaves(group):
            print(problem, file=sys.stderr)
        code = WRONG_CONFIGURATION
    except* JournalError as group:
        print(*_leaves(group), sep="\n", file=sys.stderr)
        code = NOT_NOW
    except* OclawError as group:
        print(*_leaves(group), sep="\n", file=sys.stderr)
        code = 1
    return code


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    leaves: list[BaseException] = []
    for error in group.exceptions:
        leaves += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return leaves
