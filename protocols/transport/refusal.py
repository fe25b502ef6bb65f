"""What the system said when no connection came about: Trio puts the failures of all addresses into one sentence."""

from __future__ import annotations

import os


def system_words(error: OSError) -> str:
    """Return the first address's failure in the system's words, without the address."""
    found: BaseException | None = error.__cause__
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    known = found if isinstance(found, OSError) else error
    # Its own sentence holds the address again; a resolver's numbers are negative and have no other sentence.
    number = known.errno or 0
    return os.strerror(number) if number > 0 else known.strerror or str(known)
