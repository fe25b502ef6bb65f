"""Find the zstd dictionaries: the shipped ones and the operator's own.

The operator's folder is `dictionaries/` in the state directory, backed up with it. The
newest file there (by name) compresses, else the newest shipped one; all of them open.
"""

from __future__ import annotations

from pathlib import Path

from gateway.errors import UnknownDictionary
from gateway.message import dictionary
from gateway.message.dictionary import Dictionaries, Dictionary, read_dictionary
from gateway.plainfile import read_plain

SUFFIX = ".zdict"
SHIPPED = Path(dictionary.__file__).parent / "dictionaries"


def load_dictionaries(own: Path | None = None) -> Dictionaries:
    """Read every dictionary. Raises `UnknownDictionary` for a damaged or unreadable one; blocks on the disk."""
    found = _read_folder(SHIPPED)
    if own is not None:
        found += _read_folder(own)
    _check_ids(found)
    if not found:
        return Dictionaries()
    return Dictionaries(found[-1], tuple(found[:-1]))


def _check_ids(found: list[Dictionary]) -> None:
    """A record names its dictionary by id: with the half of one that was copied, it would not open with the whole."""
    known: dict[int, bytes] = {}
    for each in found:
        if known.setdefault(each.id, each.content) != each.content:
            raise UnknownDictionary(f"two different zstd dictionaries have the id {each.id}: one of them is damaged.")


def _read_folder(folder: Path) -> list[Dictionary]:
    try:
        return [read_dictionary(read_plain(path), str(path)) for path in sorted(folder.glob(f"*{SUFFIX}"))]
    except OSError as error:
        raise UnknownDictionary(f"{error.filename} cannot be read: {error.strerror}.") from error
