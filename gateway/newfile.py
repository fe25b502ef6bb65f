"""A new file, whole or not at all: half of one would be taken for it by whoever finds it there."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path


def write_new(path: Path, content: bytes, *, mode: int = 0o666) -> None:
    """Write a file that is not there yet, and return when it is on the disk; on a full one nothing of it stays.

    `mode` is its own from the first moment, less the umask. Raises `FileExistsError` and leaves what is there, else
    `OSError`. Blocks on the disk.
    """
    with open(path, "xb", opener=partial(os.open, mode=mode)) as file:
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            path.unlink(missing_ok=True)
            raise
