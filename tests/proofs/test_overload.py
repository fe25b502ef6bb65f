"""Three times the load a gateway can take, and half an hour of load: what is accepted is answered, nothing grows."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.cli.measure.machine import stolen_seconds
from gateway.cli.measure.scratch import PATH, Scratch, prepared, started
from gateway.testing.proof import Tally
from tests.support.flood import Account, Flood

# A quarter second of unread requests, 512 in hand, replies under way, and what SQLite and the allocator keep.
MOST_GROWTH_MIB = 64


@pytest.mark.parametrize("seconds", [2.0, pytest.param(20.0, marks=pytest.mark.prove)])
def test_what_is_accepted_under_three_times_the_load_is_answered_and_all_else_refused_or_held_back(
    seconds: float, survived: Callable[[str, Tally], None], figure: Callable[[str], None]
) -> None:
    flood = Flood(PATH, 400)
    with prepared(Path(tempfile.gettempdir()), flood.sink_port) as (config, port), started(config, port) as scratch:
        flood.aim(port)
        flood.first_reply(30.0)
        flood.closed(64, 0.5)
        most, before = flood.closed(64, 1.0), scratch.rss_mib()
        account = flood.offer(3 * most, seconds)
        after = flood.offer(most / 4, 1.0)
        growth = scratch.rss_mib() - before
    flood.close()
    for each in (account, after):
        assert kept(each), each
    assert account.accepted
    assert growth < MOST_GROWTH_MIB
    survived("three times the load it can take", tally(account))
    figure(
        f"three times the load ({3 * most:.0f}/s): goodput {account.goodput / most:.0%}, p99 {account.p(0.99):.0f} ms, "
        f"refused {account.refused}, held back {account.held}, recovered after {after.recovered_after(0.2):.1f} s, "
        f"memory {growth:+.0f} MiB"
    )


@pytest.mark.parametrize("minutes", [0.1, pytest.param(30.0, marks=pytest.mark.prove)])
def test_half_an_hour_of_load_leaves_no_trace_in_memory_and_bounds_the_wal(
    minutes: float,
    survived: Callable[[str, Tally], None],
    figure: Callable[[str], None],
    request: pytest.FixtureRequest,
) -> None:
    minutes = request.config.getoption("soak_minutes") or minutes
    rate = request.config.getoption("soak_rate") or (1000.0 if minutes >= 1 else 200.0)
    flood, sizes, total = Flood(PATH, 200), [], []
    with prepared(Path(tempfile.gettempdir()), flood.sink_port) as (config, port), started(config, port) as scratch:
        flood.aim(port)
        flood.first_reply(30.0)
        for minute in range(max(1, round(minutes))):
            stolen = stolen_seconds()
            account = flood.offer(rate, min(1.0, minutes) * 60)
            stolen = (stolen_seconds() - stolen) / account.seconds
            sizes.append(scratch.rss_mib())
            total.append(account)
            assert kept(account), account
            assert wal_mib(config) < 64
            figure(minute_told(minute + 1, rate, account, stolen, scratch, config))
    flood.close()
    if len(sizes) > 6:
        assert max(sizes[5:]) <= sizes[4] * 1.05, sizes
    for account in total:
        survived(f"{rate:g} messages a second, minute after minute", tally(account))


def minute_told(minute: int, rate: float, account: Account, stolen: float, scratch: Scratch, config: Path) -> str:
    return (
        f"minute {minute} at {rate:g}/s: p50 {account.p(0.5):.1f}, p99 {account.p(0.99):.1f}, "
        f"max {account.p(1.0):.0f} ms, host took {stolen:.1%} of a core, refused {account.refused}, "
        f"memory {scratch.rss_mib():.1f} MiB, WAL {wal_mib(config):.1f} MiB"
    )


def wal_mib(config: Path) -> float:
    return sum(file.stat().st_size for file in (config.parent / "state").rglob("*-wal")) / 2**20


def kept(account: Account) -> bool:
    """Whether every promise was kept. A repeated reply breaks none: the sink may be held up longer than an attempt."""
    broken = account.lost + account.duplicated + account.reordered + account.failed
    return not (broken or account.without_retry_after)


def tally(account: Account) -> Tally:
    return Tally(
        sent=account.due - account.held,
        accepted=account.accepted,
        delivered=len(account.times),
        repeated=account.repeated,
        duplicated=account.duplicated,
        reordered=account.reordered,
        lost=account.lost,
    )
