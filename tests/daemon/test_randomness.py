"""Random bytes taken by the page are the source's, each used once."""

from __future__ import annotations

import os
import threading

from hypothesis import given
from hypothesis import strategies as st

from gateway.daemon.randomness import PAGE_BYTES, drawer


@given(st.lists(st.integers(min_value=0, max_value=PAGE_BYTES * 2), max_size=60))
def test_every_draw_has_its_length_and_no_byte_is_given_twice(counts: list[int]) -> None:
    given: list[bytes] = []

    def source(count: int) -> bytes:
        given.append(os.urandom(count))
        return given[-1]

    draw = drawer(source)
    places: set[tuple[int, int]] = set()
    for drawn in [draw(count) for count in counts]:
        if len(drawn) >= 16:  # long enough to be found in one place alone
            (place,) = [(number, page.find(drawn)) for number, page in enumerate(given) if drawn in page]
            taken = {(place[0], place[1] + offset) for offset in range(len(drawn))}
            assert not taken & places
            places |= taken
    assert [len(draw(count)) for count in counts] == counts


def test_a_hundred_draws_ask_the_source_once() -> None:
    asked: list[int] = []

    def source(count: int) -> bytes:
        asked.append(count)
        return os.urandom(count)

    draw = drawer(source)
    for _ in range(PAGE_BYTES // 24):
        draw(24)
    assert asked == [PAGE_BYTES]


def test_another_thread_draws_from_the_source_itself() -> None:
    asked: list[int] = []

    def source(count: int) -> bytes:
        asked.append(count)
        return os.urandom(count)

    draw = drawer(source)
    thread = threading.Thread(target=draw, args=(24,))
    thread.start()
    thread.join()
    assert asked == [24]


def test_a_forked_child_draws_other_bytes_than_its_parent() -> None:
    draw = drawer()
    draw(1)
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, draw(24))
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 24) != draw(24)
    os.close(reading)
    os.close(writing)
