"""A new file, whole or not at all: half of one would be taken for it by whoever finds it there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


def write_new(path: Path, content: bytes, opener: Callable[[str, int], int] | None = None) -> None:
    """Write a file that is not there yet; on a full disk nothing of it stays. `opener` is that of `open`.

    Raises `FileExistsError` and leaves what is there, else `OSError`. Blocks on the disk.
    """
    with open(path, "xb", opener=opener) as file:
        try:
            file.write(content)
            file.flush()
        except OSError:
            path.unlink(missing_ok=True)
            raise
