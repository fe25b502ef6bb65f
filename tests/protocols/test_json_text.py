"""JSON of any text a program can hold."""

from __future__ import annotations

import json

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.json_text import encode_json
from protocols.problem import problem


class Told(msgspec.Struct):
    words: dict[str, tuple[str, ...]]


@settings(max_examples=100)
@given(st.dictionaries(st.text(st.characters()), st.lists(st.text(st.characters()), max_size=3), max_size=3))
def test_any_text_has_a_form_and_what_has_one_anyway_keeps_it(words: dict[str, list[str]]) -> None:
    told = Told({key: tuple(value) for key, value in words.items()})
    written = encode_json(told)
    read = json.loads(written.decode())["words"]
    assert len(written.decode().splitlines()) >= 1
    try:
        assert written == msgspec.json.encode(told)
    except UnicodeEncodeError:
        assert "\ud800" not in str(read)


def test_a_problem_document_is_whole_whatever_its_detail_quotes() -> None:
    answer = problem(422, "found a\ud800b", members={"problems": ["\udcff"]})
    assert json.loads(answer.body) | {"type": ""} == {
        "type": "", "title": "Unprocessable Content", "status": 422, "detail": "found a\ufffdb", "problems": ["\ufffd"],
    }  # fmt: skip
