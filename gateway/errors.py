"""What can go wrong, one class per thing a caller can do differently.

Every message is a sentence for the person who must act: the place, what was found there,
what is wanted. Expected outcomes (a rejected message, a bounced delivery) are values, not
exceptions, and stand elsewhere.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# It goes into the journal, the log and what watchers are shown, of which thousands may wait in memory.
LONGEST_REASON = 2000


class OclawError(Exception):
    """The root of all errors the gateway raises on purpose."""


class SettingError(OclawError):
    """One setting is wrong. `place` is a dotted path in oclaw.toml, or a file with a line."""

    def __init__(self, place: str, *, found: str, wanted: str, hint: str = "") -> None:
        self.place, self.found, self.wanted, self.hint = place, found, wanted, hint
        super().__init__(f"{place} is {found}; it must be {wanted}." + (f" {hint}" if hint else ""))


class SettingErrors(OclawError):
    """Everything that is wrong with the configuration, at once. The daemon exits 78 on it.

    `sound` holds, by section, the entries of oclaw.toml in which nothing is wrong.
    """

    def __init__(self, problems: list[SettingError], sound: Mapping[str, Any] | None = None) -> None:
        self.problems, self.sound = problems, sound or {}
        super().__init__("\n".join(str(problem) for problem in problems))

    def listed(self) -> str:
        """Return all of them for a terminal, each on lines of its own below a heading."""
        count = len(self.problems)
        heading = f"{count} fault{'s' if count != 1 else ''} in the configuration:"
        return heading + "".join([indented(str(problem)) for problem in self.problems])


def indented(problem: str) -> str:
    """Return what is wrong, with its line and caret where it has them, as one item of a list."""
    return "".join([f"\n  {line}" for line in problem.split("\n")])


class AddressTaken(OclawError):
    """Somebody else listens where the gateway is to, or the host has no such address or name, or no room for it, yet.

    It may pass: the daemon exits 75 on it and is started again.
    """


class SealError(OclawError):
    """A record cannot be sealed or does not open. Subclasses tell why."""


class Truncated(SealError):
    """Bytes are missing at the end of a sealed record."""


class Altered(SealError):
    """A sealed record is not what was written: a flipped bit, a forgery, or another key under the same id."""


class WrongRecord(SealError):
    """A sealed record stands in the place of another, or is of another kind than was asked for."""


class UnknownSeal(SealError):
    """Not a sealed record, or of a version that this oclaw does not know."""


class UnknownKey(SealError):
    """The key ring lacks the key that a record was sealed with."""


class UnknownDictionary(SealError):
    """The zstd dictionary that a record was compressed with is missing or damaged."""


class TooLarge(SealError):
    """A record is, or would expand to, more bytes than are allowed."""


class Unsealable(SealError):
    """A value has no msgpack form (an integer beyond 64 bits, a lone surrogate, an object of a foreign class)."""


class KeyRingError(OclawError):
    """The key ring is missing, cannot be read, or its file is open to others. A person must mend it: exit code 78."""


class KeyRingUnwritten(KeyRingError):
    """The key ring cannot be written: no space, or the disk refuses writes."""


class JournalError(OclawError):
    """The journal cannot do what was asked, and nothing of it was done."""


class JournalFull(JournalError):
    """No space, or the disk refuses writes: new messages are refused until it returns."""


class JournalBusy(JournalError):
    """Another daemon holds this state directory."""


class JournalDamaged(JournalError):
    """The journal file fails its integrity check, or was written by a newer version. A person must mend it."""


class JournalForbidden(JournalError):
    """The journal, or what stands beside it, is not the gateway's to use: its owner, its mode, or no file at all."""


class PluginError(OclawError):
    """A channel, hook, action or provider cannot be found or built under the configured name."""


class Overloaded(OclawError):
    """The gateway refuses at the door; try again after `retry_after` seconds."""

    def __init__(self, why: str, retry_after: float = 1.0) -> None:
        self.why, self.retry_after = why, retry_after
        super().__init__(f"{why}; try again after {retry_after:g} s")


# What a disk that has space again, or that comes back, does not change: whose it is, its mode, what it is.
_NOT_OURS = frozenset(
    (errno.EACCES, errno.EPERM, errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)
)


def is_forbidden(error: OSError) -> bool:
    """Say whether a file stays out of reach until a person changes something about it."""
    return error.errno in _NOT_OURS


def unwritable(path: Path, error: OSError) -> JournalForbidden | JournalFull:
    """Return what it means that a file of the state directory cannot be written."""
    said = f"{path} cannot be written: {error.strerror}."
    if is_forbidden(error):
        return JournalForbidden(f"{said} The state directory and the files in it must belong to the gateway's user.")
    return JournalFull(f"{said} Does its folder exist, with space?")


def unreadable(error: OSError | UnicodeDecodeError) -> str:
    """Return what keeps a text file from being read, for "it is …"; its name stands beside it already."""
    if isinstance(error, UnicodeDecodeError):
        line = error.object.count(b"\n", 0, error.start) + 1
        return f"not UTF-8 at byte {error.start} (line {line})"
    return f"not readable ({error.strerror})"


def stays_contained(error: BaseException) -> bool:
    """Say whether what somebody else's code raised is its own affair: no cancellation, no Ctrl-C, no group with one.

    `sys.exit()` is, and so is asyncio's `CancelledError`, which is no `Exception` and nothing to do with Trio.
    """
    if isinstance(error, BaseExceptionGroup):
        return all(map(stays_contained, error.exceptions))
    if isinstance(error, Exception):
        return True
    import trio

    return not isinstance(error, KeyboardInterrupt | GeneratorExit | trio.Cancelled)


def parted(error: BaseException) -> tuple[BaseException | None, BaseException | None]:
    """Part what was raised, alone or in a group, into what stays contained and what has to go on; None for neither."""
    if isinstance(error, BaseExceptionGroup):
        return error.split(stays_contained)
    return (error, None) if stays_contained(error) else (None, error)


def lone(error: BaseException) -> BaseException:
    """Return what a group of one holds: a nursery wraps whatever is raised in it."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


class Reject(OclawError):
    """Raised by a hook to refuse a message: `reason` for the operator, `tell` for the sender (or nothing)."""

    def __init__(self, reason: str, tell: str | None = None) -> None:
        # Who writes a hook hands over what was caught, too; a walk keeps and tells texts.
        self.reason, self.tell = as_text(reason), None if tell is None else as_text(tell)
        super().__init__(self.reason)


class Hold(OclawError):
    """Raised by a hook to set a message aside until a person releases or drops it."""

    def __init__(self, reason: str) -> None:
        self.reason = as_text(reason)
        super().__init__(self.reason)


class HookCrashed(OclawError):
    """An isolated hook raised something other than a verdict, or its process ended or went silent."""


class DraftError(OclawError):
    """A hook left a message with a field that no message can have; the text names the field."""


class ModelError(OclawError):
    """A model did not answer. `passing` says whether trying again may help."""

    def __init__(self, why: str, *, passing: bool) -> None:
        # It goes wherever a hook's reason goes; a worker may give one of megabytes.
        self.why, self.passing = bounded(as_text(why)), passing
        super().__init__(self.why)


def in_words(error: BaseException) -> str:
    """Return an exception's class and what it says; never raises, as the `__str__` of a foreign class may."""
    name, said = type(error).__name__, as_text(error)
    return bounded(f"{name}: {said}" if said else name)


def as_text(said: object) -> str:
    """Return a text as it is, and anything else in its own words, '' where it has none; never raises.

    No class of its own is kept of a text, such as Jinja's `Markup`: a record holds plain ones alone.
    """
    try:
        return str.__str__(said if isinstance(said, str) else str(said))
    except Exception:
        return ""


def bounded(why: str) -> str:
    """Return a reason as long as one is kept and told: what hooks and plugins say may quote a whole message."""
    return why if len(why) <= LONGEST_REASON else f"{why[:LONGEST_REASON]}…"
