"""A head that was just read is known again: the same meaning, for less, and never another's."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from protocols.http1 import heads_httptools
from protocols.http1.heads import Head, Status
from protocols.http1.limits import HttpLimits
from protocols.http1.messages import Peer, Request
from protocols.http1.reader import RequestReader
from protocols.http1.recall import LONGEST_KNOWN_BYTES, MOST_KNOWN, recalled
from protocols.http1.response_reader import ResponseReader

REQUEST = b"POST /channels/shop?x=1 HTTP/1.1\r\nHost: gate\r\nContent-Length: %d\r\n\r\n"


class Counted:
    """A parser that counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def read_head(self, head: bytes) -> Head:
        self.asked += 1
        return heads_httptools.read_head(head)

    def read_status(self, head: bytes) -> Status:
        self.asked += 1
        return heads_httptools.read_status(head)


def ask(reader: RequestReader, raw: bytes) -> Request:
    reader.feed(raw)
    request = reader.next_request()
    assert request is not None
    return request


def test_the_head_that_comes_with_every_request_is_parsed_once_and_the_body_is_read_each_time() -> None:
    parser = Counted()
    read_head = parser.read_head
    readers = [RequestReader(read_head, HttpLimits(), Peer("127.0.0.1", port)) for port in (1, 2)]
    asked = [ask(reader, REQUEST % 2 + body) for body in (b"{}", b"[]", b"42") for reader in readers]

    assert parser.asked == 1
    assert [request.body for request in asked] == [b"{}", b"{}", b"[]", b"[]", b"42", b"42"]
    assert [request.peer.port for request in asked] == [1, 2, 1, 2, 1, 2]
    assert all((request.path, request.query) == ("/channels/shop", "x=1") for request in asked)


def test_a_head_that_differs_in_one_byte_is_another() -> None:
    reader = RequestReader(heads_httptools.read_head, HttpLimits(), Peer(""))
    first = ask(reader, REQUEST % 2 + b"{}")
    other = ask(reader, REQUEST.replace(b"gate", b"Gate") % 3 + b"[1]")

    assert (first.headers.get("host"), other.headers.get("host")) == ("gate", "Gate")
    assert other.body == b"[1]"


def test_the_answers_of_one_second_are_parsed_once() -> None:
    parser = Counted()
    read_status = parser.read_status
    for body in (b"one", b"two", b"six"):
        reader = ResponseReader(read_status, body_bytes=None)
        reader.feed(b"HTTP/1.1 200 OK\r\nDate: Mon, 23 Nov 2026 21:00:00 GMT\r\nContent-Length: 3\r\n\r\n" + body)
        assert reader.finished
        assert reader.reusable
        assert reader.take() == body
    assert parser.asked == 1


def test_what_strangers_send_takes_a_bounded_place() -> None:
    read: list[bytes] = []
    recall = recalled(read.append)
    for number in range(10 * MOST_KNOWN):
        recall(b"%d" % number)
    recall(b"%d" % (10 * MOST_KNOWN - 1))
    assert len(read) == 10 * MOST_KNOWN  # the last is known
    recall(b"0")
    assert read[-1] == b"0"  # the first no more
    for _ in range(2):
        recall(b"x" * (LONGEST_KNOWN_BYTES + 1))
    assert len(read) == 10 * MOST_KNOWN + 3


@given(st.lists(st.sampled_from([b"", b"a", b"b", b"c" * 2000, b"bad"]), max_size=20))
def test_what_is_recalled_is_what_would_be_read(heads: list[bytes]) -> None:
    def read(head: bytes) -> int:
        if head == b"bad":
            raise ValueError(head)
        return len(head)

    recall = recalled(read)
    for head in heads:
        try:
            found = recall(head)
        except ValueError:
            assert head == b"bad"
        else:
            assert found == len(head)
