"""Measure single parts: sealing, the operator's rules, the journal on the operator's disk."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from gateway.cli.measure.figures import PartFigures, quantile
from gateway.message.envelope import Envelope
from rules import Ruleset

# Records of another seed than the dictionary is trained with: it has not seen them.
_SEED, _SAMPLES = 2, 400
_ROUND_SECONDS = 0.2


def measure_parts(ruleset: Ruleset, channels: Sequence[str], disk: Path | None, seconds: float) -> PartFigures:
    """Measure the parts one after the other; `channels` are the names that the sample messages come from."""
    envelopes = samples(channels)
    seal, opened, size = _sealing(envelopes)
    decisions = _decisions(ruleset, envelopes)
    with tempfile.TemporaryDirectory(prefix="oclaw-bench-", dir=disk) as folder:
        syncs = sorted(_syncs(Path(folder) / "sync", seconds))
        alone, rows = _journal(Path(folder) / "journal.sqlite3", seconds)
    return PartFigures(
        seal_us=seal,
        open_us=opened,
        sealed_bytes=size,
        rules=len(ruleset.rules()),
        decide_us=sum(decisions) / len(decisions),
        decide_p99_us=quantile(sorted(decisions), 0.99),
        syncs_per_second=len(syncs) / sum(syncs),
        sync_p99_ms=quantile(syncs, 0.99) * 1e3,
        sync_max_ms=syncs[-1] * 1e3,
        rows_per_second_alone=alone,
        rows_per_second=rows,
    )


def samples(channels: Sequence[str]) -> list[Envelope]:
    """Make realistic messages of many platforms and languages, as if they came from these channels in turn."""
    import tomllib

    from msgspec.structs import replace

    from gateway.message.samples import read_material
    from gateway.message.samples import samples as records
    from gateway.message.train import MATERIAL

    material = read_material(tomllib.loads(MATERIAL.read_text("utf-8")))
    envelopes = [each for each in records(material, _SEED, _SAMPLES * 3) if isinstance(each, Envelope)][:_SAMPLES]
    if not channels:
        return envelopes
    return [
        replace(each, message=replace(each.message, channel=channels[index % len(channels)]))
        for index, each in enumerate(envelopes)
    ]


def _sealing(envelopes: list[Envelope]) -> tuple[float, float, float]:
    from gateway.config.dictionaries import load_dictionaries
    from gateway.message.keyring import new_keyring
    from gateway.message.seal import RecordKind, Sealer

    sealer = Sealer(new_keyring(0, os.urandom), load_dictionaries(), os.urandom)
    kind = RecordKind.ENVELOPE
    sealed = [(each.id, sealer.seal(kind, each.id, each)) for each in envelopes]

    def seal() -> None:
        for each in envelopes:
            sealer.seal(kind, each.id, each)

    def unseal() -> None:
        for id, record in sealed:
            sealer.open(kind, id, record, Envelope)

    size = sum(len(record) for _, record in sealed) / len(sealed)
    return _best(seal) / len(sealed) * 1e6, _best(unseal) / len(sealed) * 1e6, size


def _best(call: Callable[[], None]) -> float:
    """Return the seconds of the quietest call."""
    spent: list[float] = []
    ends = time.perf_counter() + _ROUND_SECONDS
    while time.perf_counter() < ends or len(spent) < 3:
        began = time.perf_counter()
        call()
        spent.append(time.perf_counter() - began)
    return min(spent)


def _decisions(ruleset: Ruleset, envelopes: list[Envelope]) -> list[float]:
    """Return the microseconds of each sample's decision, each the quietest of a few."""
    from rules import ROUTING

    moment, clock, fastest = time.time(), time.perf_counter, [float("inf")] * len(envelopes)
    for _ in range(20):
        for index, envelope in enumerate(envelopes):
            began = clock()
            ruleset.decide(ROUTING, envelope, moment)
            fastest[index] = min(fastest[index], clock() - began)
    return [each * 1e6 for each in fastest]


def _syncs(path: Path, seconds: float) -> list[float]:
    """Return how long the disk took each time to take one page and say that it is safe: what a lone commit waits for.

    The longest count most: a disk that stands still holds up every message of that moment, whoever waits for it.
    """
    page, clock, spent = os.urandom(4096), time.perf_counter, list[float]()
    with path.open("wb", buffering=0) as file:
        ends = clock() + seconds
        while not spent or clock() < ends:
            began = clock()
            file.write(page)
            os.fdatasync(file.fileno())
            spent.append(clock() - began)
    return spent


def _journal(path: Path, seconds: float) -> tuple[float, float]:
    import trio

    return trio.run(_rows, path, seconds)


async def _rows(path: Path, seconds: float) -> tuple[float, float]:
    """Return the rows a second that one producer gets committed, and 256 together."""
    from gateway.journal import open_journal

    async with open_journal(path) as journal:
        return await _producers(journal.submit, 1, seconds), await _producers(journal.submit, 256, seconds)


async def _producers(submit: Callable[..., None], producers: int, seconds: float) -> float:
    """Let each producer store a message, wait for its commit, and store the next."""
    import trio

    from gateway.message.envelope import uuid7
    from gateway.records import Accept, InboundRecord

    sealed, count, began = os.urandom(300), 0, time.perf_counter()

    def record() -> InboundRecord:
        now, digest = time.time(), os.urandom(16)
        return InboundRecord(
            id=uuid7(now, os.urandom(10)),
            channel="bench",
            dedupe=digest,
            dedupe_seconds=86400.0,
            lane=digest[:1] * 16,
            sender=digest[:2] * 8,
            received_at=now,
            sealed=sealed,
        )

    async def produce() -> None:
        nonlocal count
        while time.perf_counter() - began < seconds:
            committed = trio.Event()
            submit(Accept((record(),)), lambda _, done=committed: done.set())
            await committed.wait()
            count += 1

    async with trio.open_nursery() as nursery:
        for _ in range(producers):
            nursery.start_soon(produce)
    return count / (time.perf_counter() - began)
