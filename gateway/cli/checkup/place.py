"""Whether the gateway's own places are in order: state directory, key ring, journal, port."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

from gateway.cli.control import Control
from gateway.cli.frame import NotDone
from gateway.config.address import split_address
from gateway.config.keyfile import read_keyring
from gateway.errors import JournalDamaged, JournalError, KeyRingError, UnknownDictionary
from gateway.ports import Finding

# A week of 10 messages a second is about 5 GB; below this the journal soon refuses new messages.
_ROOM_BYTES = 1_000_000_000


def state(folder: Path) -> list[Finding]:
    """Look at the state directory, which may not be there before the first run."""
    place = next(each for each in (folder, *folder.parents) if os.access(each, os.F_OK))
    if not os.access(place, os.W_OK | os.X_OK):
        what = f"{folder} may not be written by this user (uid {os.getuid()})"
        return [Finding(ok=False, what=what, way_out="Run this as the gateway's user, or give it the folder.")]
    findings = [_room(place)]
    if place != folder:
        return [*findings, Finding(ok=True, what=f"{folder} will be made on the first run")]
    return [*findings, *_owners(folder), _keyring(folder), *_dictionaries(folder), _journal(folder)]


def port(addresses: tuple[str, ...], config: Path) -> list[Finding]:
    """Say whether each address can be had, or is held by this very gateway."""
    try:
        held = Control(config).get("status")
        return [Finding(ok=True, what=f"the gateway runs, as process {held['pid']} on {', '.join(held['addresses'])}")]
    except NotDone:
        return [_free(address) for address in addresses]


def _room(place: Path) -> Finding:
    free = shutil.disk_usage(place).free
    size = f"{free / 1e9:.1f} GB" if free >= 1e8 else f"{free / 1e6:.0f} MB"
    what = f"{size} are free on the disk of {place}"
    if free >= _ROOM_BYTES:
        return Finding(ok=True, what=what)
    return Finding(ok=False, what=what, way_out="Make room, or lower journal.retention_days.")


def _owners(folder: Path) -> list[Finding]:
    """Find what root has put there: root reads it, and the gateway's user does not."""
    owner = folder.stat().st_uid
    strange = sorted(each.name for each in folder.iterdir() if _owner(each) not in (owner, None))
    if not strange or owner == 0:  # systemd gives a folder of root's to the service, with all that is in it
        return []
    what = f"{', '.join(strange[:3])} in {folder} belong to another user than the folder (uid {owner})"
    way_out = f"Stop the gateway and run chown -R --reference={folder}/ {folder}/"
    return [Finding(ok=False, what=what, way_out=way_out)]


def _owner(path: Path) -> int | None:
    try:
        return path.lstat().st_uid
    except FileNotFoundError:  # the running gateway has just done with it
        return None


def _keyring(folder: Path) -> Finding:
    from gateway.journal import FILE_NAME

    try:
        ring = read_keyring(folder / "keyring")
    except KeyRingError as error:
        return Finding(ok=False, what=str(error), way_out="Restore it from its backup if it is damaged.")
    if ring is None and (folder / FILE_NAME).exists():
        what = f"{folder / 'keyring'} is missing, and nothing in the journal opens without it"
        return Finding(ok=False, what=what, way_out="Put it back from its backup.")
    if ring is None:
        return Finding(ok=True, what="there is no key ring yet; the first run makes one")
    return Finding(ok=True, what="the key ring opens; only its owner can read it")


def _dictionaries(folder: Path) -> list[Finding]:
    from gateway.config.dictionaries import load_dictionaries

    try:
        load_dictionaries(folder / "dictionaries")
    except UnknownDictionary as error:
        return [Finding(ok=False, what=str(error), way_out="The gateway does not start with it.")]
    return []


def _journal(folder: Path) -> Finding:
    from gateway.journal import FILE_NAME, maintenance
    from gateway.journal.opening import too_new
    from gateway.journal.schema import VERSION

    if not (folder / FILE_NAME).exists():
        return Finding(ok=True, what="there is no journal yet; the first run makes one")
    try:
        version = maintenance.info(folder / FILE_NAME).version
        if version > VERSION:
            what, _, way_out = too_new(folder / FILE_NAME, version).partition(". ")
            return Finding(ok=False, what=what, way_out=way_out)
        problems = maintenance.check(folder / FILE_NAME)
    except JournalDamaged as error:
        problems = [str(error)]
    except JournalError as error:  # whose it is, or its disk: what is in it may be whole
        way_out = "It must be a plain file of the gateway's user, on a disk that answers."
        return Finding(ok=False, what=str(error), way_out=way_out)
    if not problems:
        return Finding(ok=True, what="the journal is whole")
    way_out = "Stop the gateway; oclaw journal export saves what can be read."
    return Finding(ok=False, what=f"the journal is damaged: {'; '.join(problems[:3])}", way_out=way_out)


def _free(address: str) -> Finding:
    host, number = split_address(address) or ("", 0)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, number))
        except OSError as error:
            what = f"{address} cannot be had: {error.strerror}"
            return Finding(ok=False, what=what, way_out="Stop what holds it, or change listen.addresses.")
    return Finding(ok=True, what=f"{address} is free")
