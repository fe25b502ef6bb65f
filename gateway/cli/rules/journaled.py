"""Journaled messages, read beside the gateway whether it runs or not: the file read-only, opened with the key ring."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from gateway.cli.frame import NotDone

if TYPE_CHECKING:
    from gateway.flow.story import Story
    from gateway.message.envelope import Envelope
    from gateway.message.seal import Sealer
    from gateway.records import InboundRow


class Journaled(NamedTuple):
    """A message as it came in, and what was decided on its walk (None while it is under way)."""

    envelope: Envelope
    story: Story | None


def since(config: Path, moment: float, limit: int) -> Iterator[Journaled]:
    """Yield the latest messages that came in after `moment`, newest first."""
    from gateway.journal import FILE_NAME
    from gateway.journal.reading import latest

    state = _state(config)
    sealer = _sealer(state)
    for row in latest(state / FILE_NAME, moment, limit):
        opened = _opened(sealer, row)
        if opened is not None:
            yield opened


def one(config: Path, envelope_id: str) -> Journaled:
    """Return one message. Raises `NotDone` when it is not there or does not open."""
    from gateway.journal import FILE_NAME
    from gateway.journal.reading import found

    state = _state(config)
    row = found(state / FILE_NAME, envelope_id)
    opened = None if row is None else _opened(_sealer(state), row)
    if opened is None:
        raise NotDone(f"there is no message {envelope_id} that can be opened; it may be past its retention")
    return opened


def _state(config: Path) -> Path:
    from gateway.config.load import state_of

    return state_of(config, os.environ)


def _sealer(state: Path) -> Sealer:
    from gateway.config.dictionaries import load_dictionaries
    from gateway.config.keyfile import read_keyring
    from gateway.daemon.ground import KEY_RING
    from gateway.message.seal import Sealer

    try:
        ring = read_keyring(state / KEY_RING)
    except PermissionError as error:
        raise NotDone(f"you may not read {state / KEY_RING}: run this as the gateway's user") from error
    if ring is None:
        raise NotDone(f"there is no key ring in {state}: has the gateway run with this configuration?")
    return Sealer(ring, load_dictionaries(state / "dictionaries"), os.urandom)


def _opened(sealer: Sealer, row: InboundRow) -> Journaled | None:
    from gateway.errors import SealError
    from gateway.flow.rows import envelope_in, story_in

    try:
        return Journaled(envelope_in(sealer, row), story_in(sealer, row))
    except SealError:
        return None
