"""Watch the configuration's files: edited rules go live by themselves, of other files the operator is told.

What counts of rules is what the files are (name, time, size, inode), of others what is in them (`contents.py`).
They are looked at whenever the system says that something happened in their folders and has rested, and every
second in any case: that finds a folder that was replaced, and serves where the system cannot tell. Backups and
temporary files of editors are none of the files that are looked at, so they wake nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import trio
from msgspec import Struct

from gateway.daemon.contents import Content, Contents, name_below
from gateway.daemon.rulefiles import REST_SECONDS, is_rule_file

# Two looks of the watcher without a change between them: files that are written in pieces rest for 25 to 50 ms.
STEP_MS = 25
# A folder that is written to all the time is looked at nevertheless.
DEBOUNCE_MS = 1000
# The thread notices within this time that it is to end.
TIMEOUT_MS = 100
EVERY_SECONDS = 1.0

Stamp = tuple[int, int, int]
Sight = dict[str, Stamp]


class Places(Struct, frozen=True):
    """Where the configuration's files are; `lists` are the FILE lists of rules.

    `named` are the files that oclaw.toml names: certificates, and what models and hooks read.
    """

    directory: Path
    rules: Path
    pipelines: Path
    lists: frozenset[str] = frozenset()
    named: tuple[Path, ...] = ()

    def folders(self) -> list[Path]:
        """Return the folders that are there for us: one that may not be entered is none."""
        folders = (self.directory, self.rules, self.pipelines, self.directory / "hooks")
        return [folder for folder in dict.fromkeys(folders) if _is_there(folder)]


def rules_sight(places: Places) -> Sight:
    """Return what the rule files and their lists are at this moment."""
    return _seen((path for path in _listed(places.rules) if is_rule_file(path.name)), places.rules) | _seen(
        (places.rules / name for name in places.lists), places.rules
    )


def other_files(places: Places) -> list[Path]:
    """Name the files that `oclaw reload` reads besides the rules."""
    pipelines = (path for path in _listed(places.pipelines) if path.suffix in (".yaml", ".yml"))
    hooks = (path for path in _listed(places.directory / "hooks") if path.suffix == ".py")
    ours = [path for path in (*pipelines, *hooks) if not path.name.startswith(".")]
    return [places.directory / "oclaw.toml", *places.named, *ours]


class Watch:
    """Looks at the files in a thread of its own. `changed` is called in the loop when the rules' files did."""

    def __init__(self, places: Callable[[], Places], changed: Callable[[], None]) -> None:
        self._places, self._changed = places, changed
        self._rules: Sight | None = None
        self._contents = Contents()
        self._loaded = self.sight()
        self._others = self._loaded

    def waiting(self) -> tuple[str, ...]:
        """Name the files that changed since they were loaded and wait for `oclaw reload`."""
        loaded, now = self._loaded, self._others
        return tuple(sorted(name for name in loaded.keys() | now.keys() if loaded.get(name) != now.get(name)))

    def differing(self, folder: str, sight: Content) -> tuple[str, ...]:
        """Name the files whose names begin so and that are other ones in `sight` than those that serve."""
        names = (name for name in self._loaded.keys() | sight.keys() if name.startswith(folder))
        return tuple(sorted(name for name in names if self._loaded.get(name) != sight.get(name)))

    def edited(self, files: Iterable[Path], sight: Content) -> tuple[str, ...]:
        """Name those of the files that serve already, with other words than in `sight`."""
        names = {name_below(file, self._places().directory) for file in files} & self._loaded.keys() & sight.keys()
        return tuple(sorted(name for name in names if self._loaded[name] != sight[name]))

    def sight(self, places: Places | None = None) -> Content:
        """Return what is in the files now; to be taken before they are loaded, so that no edit meanwhile is missed.

        `places` are those of a configuration that does not serve yet.
        """
        places = places or self._places()
        return self._contents.look(other_files(places), places.directory)

    def loaded(self, sight: Content) -> None:
        """Take the files as they were at `sight` for what serves."""
        self._loaded, self._others = sight, self.sight()

    async def run(self) -> None:
        """Watch until cancelled."""
        stop, token = threading.Event(), trio.lowlevel.current_trio_token()
        try:
            await trio.to_thread.run_sync(
                self._watch, stop, token, abandon_on_cancel=True, limiter=trio.CapacityLimiter(1)
            )
        finally:
            stop.set()

    def _watch(self, stop: threading.Event, token: trio.lowlevel.TrioToken) -> None:
        while not stop.is_set():
            try:
                self._until_moved(self._places().folders(), stop, token)
            except (OSError, RuntimeError):  # no watches left on this system, or a folder that just went
                stop.wait(EVERY_SECONDS)
                self._look(token, rested=False, touched=False, stop=stop)

    def _until_moved(self, folders: list[Path], stop: threading.Event, token: trio.lowlevel.TrioToken) -> None:
        """Look at the files until one of the folders is another one than it was."""
        # The first look comes with the first tick: what changed before the system watched is found by it, and what went
        # and came back meanwhile is told as if it had.
        inodes, ticks, touched = _inodes(folders), int(EVERY_SECONDS * 1000 / TIMEOUT_MS), True
        for happened in _happenings(folders, stop):
            ticks += 1
            if happened or ticks * TIMEOUT_MS >= EVERY_SECONDS * 1000:
                ticks = 0
                touched |= any(_concerns_rules(self._places(), Path(path)) for _, path in happened)
                self._look(token, rested=bool(happened), touched=touched, stop=stop)
                touched = False
                now = self._places().folders()
                if now != folders or _inodes(now) != inodes:
                    return

    def _look(self, token: trio.lowlevel.TrioToken, *, rested: bool, touched: bool, stop: threading.Event) -> None:
        places = self._places()
        rules, self._others = rules_sight(places), self.sight()
        # What was touched and is as it was may have been read in between, when it was not.
        if touched or rules != self._rules:
            if not rested:  # nobody waited for the writer to be done: see whether it goes on
                stop.wait(REST_SECONDS)
                if rules_sight(places) != rules:
                    return  # the system tells when it rests, or the next second does
            self._rules = rules
            try:
                token.run_sync_soon(self._changed)
            except trio.RunFinishedError:
                pass  # the gateway ended meanwhile


def _happenings(folders: list[Path], stop: threading.Event) -> Iterable[set[Any]]:
    """Yield whenever something happened in the folders and rested, and an empty set when nothing did for a while."""
    from watchfiles import watch

    return watch(
        *folders,
        watch_filter=None,
        debounce=DEBOUNCE_MS,
        step=STEP_MS,
        stop_event=stop,
        rust_timeout=TIMEOUT_MS,
        yield_on_timeout=True,
        raise_interrupt=False,
        recursive=False,
        ignore_permission_denied=True,
    )


def _concerns_rules(places: Places, path: Path) -> bool:
    if path.parent == places.rules and is_rule_file(path.name):
        return True
    return path == places.rules or path in {places.rules / name for name in places.lists}


def _is_there(folder: Path) -> bool:
    try:
        return folder.is_dir()
    except OSError:  # nobody may look into the folder above it
        return False


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _seen(paths: Iterable[Path], root: Path) -> Sight:
    seen: Sight = {}
    for path in paths:
        name = name_below(path, root)
        try:
            stat = path.stat()
        except OSError:
            seen[name] = (0, 0, 0)
        else:
            seen[name] = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
    return seen


def _inodes(folders: list[Path]) -> list[int]:
    return [next(iter(_seen([folder], folder.parent).values()))[2] for folder in folders]
