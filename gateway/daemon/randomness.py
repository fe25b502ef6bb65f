"""Random bytes by the page: a system call for a hundred draws instead of for each.

A message draws four times (its id and the nonces of its records). The bytes are the kernel's, taken in
advance; a page is used once, and never by two processes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from threading import get_ident

# Some 150 draws; as long as a page of memory, so that little randomness lies about.
PAGE_BYTES = 4096


def drawer(source: Callable[[int], bytes] = os.urandom) -> Callable[[int], bytes]:
    """Return `draw(count)`, which gives that many bytes no other draw gives.

    The page is the calling thread's: draws of another thread ask the source each time, and a child process that
    was forked begins a page of its own.
    """
    page, at, owner = b"", 0, get_ident()

    def draw(count: int) -> bytes:
        nonlocal page, at
        if get_ident() != owner:
            return source(count)
        begin, at = at, at + count
        drawn = page[begin:at]
        if len(drawn) == count:
            return drawn
        if count > PAGE_BYTES:
            at = begin
            return source(count)
        page, at = source(PAGE_BYTES), count
        return page[:count]

    def forget() -> None:
        nonlocal page, at
        page, at = b"", 0

    os.register_at_fork(after_in_child=forget)
    return draw
