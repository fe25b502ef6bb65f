"""Who is read when many are ready: the newest in time, the late are told, all others wait unread."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from protocols.http1.messages import Response
from protocols.hub.exchange import Exchange
from protocols.hub.rota import FEW, LATE_SHARE, PATIENCE_OF_FEW, PATIENCE_SECONDS, SLICE_SECONDS, Company, Rota
from tests.protocols.serving import GET, RawClient, open_site

MANY = range(2 * FEW)
LATE = PATIENCE_SECONDS + 0.01


def read(order: Iterator[int], rota: Rota, most: int = 1000) -> list[int]:
    """Read in this order, as the crowd does: whoever is read is forgotten."""
    taken = []
    for descriptor in islice(order, most):
        rota.forget(descriptor)
        taken.append(descriptor)
    return taken


def left(*, at: float, rota: Rota | None = None, who: Iterable[int] = MANY) -> Rota:
    rota = rota or Rota()
    rota.leave(who, at)
    return rota


def test_of_many_the_newest_come_first_and_at_first_nobody_is_late() -> None:
    rota = left(at=0.0)
    assert read(rota.late(0.0), rota) == []
    assert read(rota.in_time(0.0), rota, 3) == [*MANY][:-4:-1]


def test_few_come_first_come_first_served() -> None:
    rota = left(at=0.0, who=range(FEW))
    assert read(rota.in_time(LATE), rota) == [*range(FEW)]


def test_when_few_are_ready_those_left_unread_come_first_and_those_just_read_last() -> None:
    rota = left(at=0.0, who=[4, 2])
    rota.leave([1, 2, 3, 4, 5], 0.0, last=[5, 1])
    assert read(rota.in_time(0.0), rota) == [4, 2, 3, 5, 1]


def test_who_was_left_unread_for_too_long_is_late_the_oldest_first() -> None:
    rota = left(at=LATE, who=range(100, 200), rota=left(at=0.0))
    rota.leave(MANY, LATE)  # told again, and still waiting since the first time
    assert read(rota.late(LATE), rota, 3) == [0, 1, 2]
    assert read(rota.in_time(LATE), rota) == [*reversed(range(100, 200))]
    assert len(rota) == len(MANY) - 3


def test_of_few_only_those_are_late_who_could_not_be_answered_in_time() -> None:
    rota = left(at=0.1, who=[2], rota=left(at=0.0, who=[1]))
    assert read(rota.late(PATIENCE_OF_FEW), rota) == []
    assert read(rota.late(PATIENCE_OF_FEW + 0.01), rota) == [1]
    assert read(rota.in_time(PATIENCE_OF_FEW + 0.01), rota) == [2]


def test_who_was_read_in_between_begins_anew() -> None:
    rota = left(at=0.0)
    rota.forget(1)
    rota.leave([1], LATE)
    assert 1 not in read(rota.late(LATE), rota)


def test_telling_the_late_takes_its_share_of_the_time_and_no_more() -> None:
    rota, told, now = Rota(), 0.0, 100.0
    while now < 200.0:
        now += 0.001
        if rota.allowance(now) > 0:
            rota.spend(0.0004)
            told, now = told + 0.0004, now + 0.0004
    assert 0.99 * LATE_SHARE < told / 100 < 1.01 * LATE_SHARE + SLICE_SECONDS


def test_a_standstill_while_the_late_are_told_silences_them_for_a_moment_only() -> None:
    rota = Rota()
    assert rota.allowance(100.0) == SLICE_SECONDS
    rota.spend(30.0)
    assert rota.allowance(130.0) <= SLICE_SECONDS
    rota.spend(30.0)
    assert rota.allowance(160.0 + 2 * SLICE_SECONDS / LATE_SHARE) > 0


async def test_while_the_application_is_reluctant_nobody_is_read_until_late_and_then_told_so() -> None:
    reluctant, lateness = [True], []

    def answer(exchange: Exchange) -> None:
        lateness.append(exchange.late)
        exchange.answer(Response(200, (), b""))

    async with open_site(answer, reluctant=lambda: reluctant[0]) as site, await site.connect() as client:
        await client.send_all(GET)
        assert (await client.answer()).status == 200
        reluctant[0] = False
        await client.send_all(GET)
        assert (await client.answer()).status == 200
    assert lateness == [True, False]


@pytest.mark.parametrize("count", [FEW + 1, 3 * FEW])
async def test_many_at_once_are_all_answered(count: int) -> None:
    answered = []

    async def ask(client: RawClient) -> None:
        async with client:
            await client.send_all(GET)
            answered.append((await client.answer()).status)

    async with open_site(lambda exchange: exchange.answer(Response(200, (), b""))) as site:
        clients = [await site.connect() for _ in range(count)]
        async with trio.open_nursery() as nursery:
            for client in clients:
                nursery.start_soon(ask, client)
    assert answered == [200] * count


@given(
    st.lists(st.floats(0.00001, 0.1), min_size=1, max_size=40),
    st.integers(1, FEW),
)
def test_as_many_go_together_as_take_a_slice_and_one_at_least(each_takes: list[float], ready: int) -> None:
    company = Company()
    for seconds in each_takes:
        together = min(ready, company.size)
        company.took(together, together * seconds)
        assert 1 <= company.size <= FEW
        if together * seconds > SLICE_SECONDS:
            assert company.size * seconds <= max(SLICE_SECONDS, seconds)


def test_company_comes_back_after_a_moment_in_which_the_machine_stood_still() -> None:
    company = Company()
    company.took(FEW, 1.0)
    assert company.size == 1
    for _ in range(5):
        company.took(company.size, 0.0001 * company.size)
    assert company.size == FEW
