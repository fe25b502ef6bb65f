"""`oclaw keys`: the key ring that seals the journal. Secrets are never printed."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import click

from gateway.cli.control import Control
from gateway.cli.frame import UNAVAILABLE, Family, NotDone, with_config, with_json
from gateway.cli.show import show
from gateway.config import keyfile
from gateway.config.load import state_of
from gateway.message.keyring import KeyRing, rotate


@click.group("keys", cls=Family)
def command() -> None:
    """List, make and rotate the keys that seal the journal."""


@command.command("list")
@with_config
@with_json
def list_(config: Path, as_json: bool) -> None:
    """List the keys by id and age; secrets are not shown."""
    show(_rows(_ring(_place(config))), as_json=as_json)


@command.command("new")
@with_config
@with_json
def new(config: Path, as_json: bool) -> None:
    """Make the key ring where there is none yet (the first run does it too)."""
    from gateway.daemon.ground import first_keyring

    place = _place(config)
    if keyfile.read_keyring(place) is not None:
        raise NotDone(f"{place} is there already; oclaw keys rotate gives it a fresh key")
    show(_rows(first_keyring(place.parent)), as_json=as_json)


@command.command("rotate")
@with_config
@with_json
def rotate_(config: Path, as_json: bool) -> None:
    """Seal with a fresh key from now on; the old ones still open what they sealed."""
    place = _place(config)
    ring = rotate(_ring(place), time.time(), os.urandom)
    keyfile.write_keyring(place, ring)
    show(_rows(ring), as_json=as_json)
    try:
        Control(config).post("reload")
    except NotDone as error:
        if error.code != UNAVAILABLE:
            sentence = f"the fresh key is in {place}, and the running gateway goes on with the one before: {error}"
            raise NotDone(sentence, error.code) from error
        click.echo(f"The fresh key seals from the next start or reload on: {error}.", err=True)


def _place(config: Path) -> Path:
    return state_of(config, os.environ) / keyfile.FILE_NAME


def _ring(place: Path) -> KeyRing:
    from gateway.daemon.ground import check_first

    ring = keyfile.read_keyring(place)
    if ring is None:
        check_first(place.parent)
        raise NotDone(f"{place} is not there yet: the first oclaw run makes it, or oclaw keys new")
    return ring


def _rows(ring: KeyRing) -> list[dict[str, Any]]:
    roles = ["active", *("retired" for _ in ring.retired)]
    return [
        {"key": f"{key.id:08x}", "role": role, "since": key.since} for key, role in zip(ring.all(), roles, strict=True)
    ]
