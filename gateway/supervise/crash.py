"""Put a crash into one line for the person who reads `oclaw status`."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from pathlib import PurePath

from gateway.errors import SettingError, in_words

# A log line and a status table must hold it; the traceback's last line is what tells the story.
LONGEST = 500


def tell(error: BaseException) -> str:
    """Return the first leaf's class, text and place of raising, and how many more there are."""
    leaves = list(leaves_of(error))
    first = leaves[0]
    more = f" (and {len(leaves) - 1} more)" if len(leaves) > 1 else ""
    return f"{in_words(first)[:LONGEST]}{_place(first)}{more}"


def wrong_setting(error: BaseException) -> SettingError | None:
    """Return the `SettingError` in it, if any: no restart can mend a wrong setting."""
    return next((leaf for leaf in leaves_of(error) if isinstance(leaf, SettingError)), None)


def leaves_of(error: BaseException) -> Iterator[BaseException]:
    """Walk an exception group down to the plain exceptions."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves_of(inner)
    else:
        yield error


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    if not frames or isinstance(error, SettingError):
        return ""
    last = frames[-1]
    return f" [{'/'.join(PurePath(last.filename).parts[-2:])}:{last.lineno}]"
