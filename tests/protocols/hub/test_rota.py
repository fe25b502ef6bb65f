"""Who is read when many are ready: the newest in time, the late are told, all others wait unread."""

from __future__ import annotations

from select import EPOLLIN, EPOLLOUT

import pytest
import trio

from protocols.http1.messages import Response
from protocols.hub.exchange import Exchange
from protocols.hub.rota import FEW, PATIENCE_SECONDS, Rota, Turns
from tests.protocols.serving import GET, RawClient, open_site


def test_at_first_nobody_is_late_and_the_newest_come_first() -> None:
    assert Rota().part([(1, EPOLLIN), (2, EPOLLIN)], 0.0) == Turns([], [(2, EPOLLIN), (1, EPOLLIN)], [])


def test_who_was_left_unread_for_too_long_is_late_the_oldest_first() -> None:
    rota, late = Rota(), PATIENCE_SECONDS + 0.01
    rota.leave([(1, EPOLLIN), (2, EPOLLIN)], 0.0)
    rota.leave([(1, EPOLLIN), (2, EPOLLIN), (3, EPOLLIN)], late - 0.02)
    turns = rota.part([(1, EPOLLIN), (2, EPOLLIN), (3, EPOLLIN), (4, EPOLLIN)], late)
    assert turns == Turns([], [(4, EPOLLIN), (3, EPOLLIN)], [(1, EPOLLIN), (2, EPOLLIN)])


def test_who_was_read_in_between_begins_anew() -> None:
    rota = Rota()
    rota.leave([(1, EPOLLIN)], 0.0)
    rota.leave([], 0.05)
    assert rota.part([(1, EPOLLIN)], 10.0).late == []


def test_when_few_are_ready_those_left_unread_come_first_and_those_just_read_last() -> None:
    rota = Rota()
    rota.leave([(4, EPOLLIN), (2, EPOLLIN)], 0.0, read=[(5, EPOLLIN), (1, EPOLLIN)])
    ready = [(number, EPOLLIN) for number in range(1, 6)]
    rota.unread_first(ready)
    assert [number for number, _ in ready] == [4, 2, 3, 5, 1]


def test_whoever_is_closed_is_forgotten() -> None:
    rota = Rota()
    rota.leave([(2, EPOLLIN)], 0.0, read=[(1, EPOLLIN)])
    rota.forget(1)
    rota.forget(2)
    ready = [(1, EPOLLIN), (2, EPOLLIN), (3, EPOLLIN)]
    rota.unread_first(ready)
    assert [number for number, _ in ready] == [1, 2, 3]


def test_whoever_can_take_more_of_an_answer_or_is_gone_does_not_wait() -> None:
    assert Rota().part([(1, EPOLLIN), (2, EPOLLOUT)], 0.0).urgent == [(2, EPOLLOUT)]


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
