"""From the bytes of a file to its text: UTF-8, bounded, and no binary."""

from __future__ import annotations

from rules.errors import Problem, problem_at

# 100,000 rules are about 15 MB; four times that is no file a person or a program means to write.
MAX_FILE_BYTES = 64 * 1024 * 1024


def decoded(name: str, content: str | bytes) -> str | Problem:
    """The text of a file, or why it is none."""
    if len(content) > MAX_FILE_BYTES:
        shown = f"this file has {len(content)} bytes or characters; {MAX_FILE_BYTES} are the most"
        return Problem(name, 1, 1, 1, "", shown, "split it")
    try:
        text = content if isinstance(content, str) else content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        good = error.object[: error.start].decode("utf-8", "replace")
        shown = f"this file is not UTF-8: byte 0x{error.object[error.start]:02X} at offset {error.start}"
        return problem_at(name, good, len(good), len(good) + 1, shown, "save it as UTF-8")
    place = text.find("\0")
    if place >= 0:
        return problem_at(name, text, place, place + 1, "this file is binary: it has a NUL character")
    return text
