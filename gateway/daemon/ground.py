"""What the flow stands on: keys, dictionaries, limits, made of settings and the state directory."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

from gateway.config.dictionaries import load_dictionaries
from gateway.config.keyfile import create_keyring, read_keyring
from gateway.config.settings import Settings
from gateway.daemon.randomness import drawer
from gateway.errors import JournalFull, KeyRingError, SettingError, SettingErrors, is_forbidden
from gateway.flow.accept import Limits
from gateway.flow.retry import RetryPolicy
from gateway.flow.spine import Ground
from gateway.journal import FILE_NAME
from gateway.message.keyring import KeyRing, check_successor, new_keyring
from gateway.message.seal import Sealer
from gateway.notices import Report
from gateway.ports import Journal
from protocols.transport.steps import InStep

KEY_RING = "keyring"


def prepare_state(folder: Path) -> None:
    """Make the state directory, for the gateway's user alone. Raises `SettingErrors` or `JournalFull`."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        if not is_forbidden(error):
            raise JournalFull(f"{folder} cannot be made: {error.strerror}.") from error
        found = f"{folder}, which cannot be made ({error.strerror})"
        hint = "Set gateway.state_dir, or make it and give it to the gateway's user."
        wanted = "a folder this user may write"
        raise SettingErrors([SettingError("the state directory", found=found, wanted=wanted, hint=hint)]) from error


def open_sealer(folder: Path) -> Sealer:
    """Read the key ring and the dictionaries; the first run makes the ring, mode 0600. Blocks on the disk."""
    ring = read_keyring(folder / KEY_RING) or first_keyring(folder)
    return Sealer(ring, load_dictionaries(folder / "dictionaries"), drawer())


def first_keyring(folder: Path) -> KeyRing:
    """Make the key ring of a state directory that has none. Raises `KeyRingError` where a journal had one."""
    check_first(folder)
    return create_keyring(folder / KEY_RING, new_keyring(time.time(), os.urandom))


def check_first(folder: Path) -> None:
    """Raise `KeyRingError` where a journal has lost its key ring: a fresh one would open nothing of it."""
    path, journal = folder / KEY_RING, folder / FILE_NAME
    if journal.exists():
        raise KeyRingError(
            f"{path} is missing, and nothing in {journal} opens without it: put it back from its backup, or move that "
            "file away to begin anew."
        )


def next_keyring(folder: Path, ring: KeyRing) -> KeyRing:
    """Read the key ring that is to follow `ring`. Raises `KeyRingError` when it cannot; blocks on the disk."""
    path = folder / KEY_RING
    newer = read_keyring(path)
    if newer is None:
        raise KeyRingError(f"{path} is gone: put it back, or nothing that is stored opens after the next start.")
    check_successor(ring, newer, str(path))
    return newer


def ground(settings: Settings, journal: Journal, sealer: Sealer, report: Report, in_step: InStep) -> Ground:
    """Translate settings into the flow's own terms."""
    flow, delivery = settings.flow, settings.delivery
    return Ground(
        journal=journal,
        sealer=sealer,
        report=report,
        now=time.time,
        random=drawer(),
        spread=random.random,
        limits=Limits(
            deadline_seconds=settings.gateway.deadline_ms / 1000,
            most_waiting=flow.max_waiting,
            most_in_lane=flow.max_waiting_per_conversation,
            most_replies_in_memory=delivery.max_waiting,
        ),
        policy=RetryPolicy(
            first_seconds=delivery.first_backoff_seconds,
            cap_seconds=delivery.max_backoff_seconds,
            attempts=delivery.attempts,
            attempt_seconds=delivery.attempt_seconds,
            expiry_seconds=delivery.expiry_hours * 3600,
        ),
        poison_attempts=flow.poison_attempts,
        in_step=in_step,
    )
