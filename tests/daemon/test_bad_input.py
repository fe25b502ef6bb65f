"""Whatever arrives over the network gets a clear answer from the real daemon, and harms nobody.

One daemon for all: after every kind of nonsense it must still serve, and have no failure of its own in the log.
"""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.daemon import Daemon, daemon, scratch_folder
from tests.support.raw import BINARY, TEXT, Answer, Raw

SECRET = b"s" * 24
CONFIG = """
[gateway]
default_pipeline = "echo"
log_format = "json"

[listen]
addresses = ["127.0.0.1:0"]
max_header_bytes = 4096
max_body_bytes = 20000
{patience}

[flow]
max_waiting_per_conversation = 2

[models.echo]
provider = "echo"

[channels.signed]
type = "webhook"
auth = "signature"
secrets = ["file:secret"]

[channels.open]
type = "webhook"
auth = "none"

[channels.chat]
type = "websocket"
local = true
hello_seconds = {hello_seconds}
frame_bytes = 4096
queued_frames = 8
"""
FILES = {
    "oclaw.toml": CONFIG.format(patience="", hello_seconds=60),
    "secret": "whsec_" + base64.b64encode(SECRET).decode(),
    "hooks/slow.py": "import trio\n\n\nasync def forever(inputs):\n    await trio.sleep_forever()\n",
    "pipelines.d/echo.yaml": "pipeline:\n  - name: say\n    model: echo\n",
    "pipelines.d/stuck.yaml": "pipeline:\n  - name: wait\n    function: slow:forever\n",
    "rules.d/main.rules": 'WHEN message.conversation.id == "stuck" THEN route_to("stuck")\n'
    'WHEN message.content CONTAINS "forbidden" THEN reject("a forbidden word")\n',
}
# For whom the time is up at once; a machine that stands still for a second is none of them.
IMPATIENT = FILES | {
    "oclaw.toml": CONFIG.format(patience="header_seconds = 0.4\nbody_seconds = 0.4", hello_seconds=0.4),
}
OWN_FAULTS = ("RequestFailed", "ChildCrashed", "JournalFailed", "JournalCallbackFailed")
# Of the daemon, for all that one test sends it: ten times what the dearest takes.
CPU_SECONDS = 10.0


@pytest.fixture(scope="module")
def gateway() -> Iterator[Daemon]:
    with scratch_folder(FILES) as folder, daemon(folder) as running:
        yield running
        assert running.process.poll() is None, running.log[-5:]


@pytest.fixture
def impatient() -> Iterator[Daemon]:
    with scratch_folder(IMPATIENT) as folder, daemon(folder) as running:
        yield running


@pytest.fixture(autouse=True)
def unharmed(gateway: Daemon) -> Iterator[None]:
    before = gateway.cpu_seconds()
    yield
    assert asked(gateway, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").status == 200
    assert not gateway.told(*OWN_FAULTS, "")
    assert gateway.cpu_seconds() - before < CPU_SECONDS


def asked(gateway: Daemon, *pieces: bytes) -> Answer:
    with Raw(gateway.port) as raw:
        raw.write(*pieces)
        return raw.answer()


def request(method: str, path: str, body: bytes = b"", *fields: str, kind: str = "application/json") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
    lines += [f"Content-Type: {kind}"] if kind else []
    return "\r\n".join([*lines, *fields, "", ""]).encode() + body


def payload(text: str = "hello", conversation: str = "c", **more: object) -> bytes:
    said = {"id": f"{time.time_ns()}", "text": text, "conversation": {"id": conversation}, **more}
    return json.dumps(said).encode()


def signed(body: bytes, *, key: bytes = SECRET, at: float = 0.0, name: str = "") -> bytes:
    name, stamp = name or f"m{time.time_ns()}", str(int(time.time() + at))
    digest = hmac.digest(key, f"{name}.{stamp}.".encode() + body, "sha256")
    fields = [f"webhook-id: {name}", f"webhook-timestamp: {stamp}"]
    fields += [f"webhook-signature: v1,{base64.b64encode(digest).decode()}"]
    return request("POST", "/channels/signed", body, *fields)


def is_problem(answer: Answer, status: int) -> bool:
    """Whether an answer is a problem document (RFC 9457) of that status, with a sentence in it."""
    assert answer.fields["content-type"] == "application/problem+json", answer
    document = answer.json
    assert document["status"] == answer.status == status, answer
    return bool(document["title"]) and bool(document.get("detail", document["title"]))


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\x00\x01\x02\x03\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nno colon here\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /channels/open HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    ],
    ids=["binary", "no target", "no host", "two hosts", "no colon", "length", "two lengths", "chunk"],
)
def test_malformed_http_is_answered_400(gateway: Daemon, nonsense: bytes) -> None:
    assert is_problem(asked(gateway, nonsense), 400)


def test_another_version_of_http_is_answered_505(gateway: Daemon) -> None:
    assert is_problem(asked(gateway, b"GET / HTTP/7.7\r\nHost: a\r\n\r\n"), 505)


@pytest.mark.parametrize(
    ("asking", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 5000 + b"\r\n\r\n", 431),
        (request("POST", "/channels/open", b"x" * 20_001), 413),
        (b"POST /channels/open HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n", 413),
        (
            b"POST /channels/open HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n" + (b"2000\r\n" + b"x" * 8192 + b"\r\n") * 3,
            413,
        ),
    ],
    ids=["head", "body", "announced body", "chunks"],
)
def test_what_is_too_large_is_answered_431_or_413(gateway: Daemon, asking: bytes, status: int) -> None:
    assert is_problem(asked(gateway, asking), status)


def test_who_stops_in_the_middle_is_answered_408_and_closed(impatient: Daemon) -> None:
    for beginning in (
        b"GET / HTTP/1.1\r\nHost: loc",
        b"POST /channels/open HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{",
    ):
        with Raw(impatient.port) as raw:
            raw.write(beginning)
            assert is_problem(raw.answer(), 408)
            assert raw.over()


def test_an_unknown_channel_or_path_is_answered_404(gateway: Daemon) -> None:
    assert is_problem(asked(gateway, request("POST", "/channels/nobody", payload())), 404)
    assert is_problem(asked(gateway, request("GET", "/nowhere")), 404)


def test_a_wrong_method_is_answered_405_and_told_the_right_one(gateway: Daemon) -> None:
    answer = asked(gateway, request("PUT", "/channels/open", payload()))
    assert is_problem(answer, 405) and answer.fields["allow"]
    assert is_problem(asked(gateway, request("POST", "/healthz")), 405)


def test_only_a_fresh_signature_of_the_right_key_is_believed(gateway: Daemon) -> None:
    assert is_problem(asked(gateway, request("POST", "/channels/signed", payload())), 401)
    assert is_problem(asked(gateway, signed(payload(), key=b"x" * 24)), 401)
    assert is_problem(asked(gateway, signed(payload(), at=-3600)), 401)
    assert is_problem(asked(gateway, signed(payload(), at=3600)), 401)
    assert is_problem(asked(gateway, signed(payload("one")).replace(b'"one"', b'"two"')), 401)
    assert asked(gateway, signed(payload())).status == 202


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b"{", ""),
        (b"\xff\xfe", ""),
        (b"[1, 2]", ""),
        (b'{"id": "1"}', "/text"),
        (b'{"id": "1", "text": 5}', "/text"),
        (b'{"id": "1", "text": "x", "sender": {"id": ["a"]}}', "/sender/id"),
        (b'{"id": "1", "text": "x", "timestamp": "yesterday"}', "/timestamp"),
        (b"[" * 5000, ""),
    ],
    ids=["no end", "not utf-8", "a list", "missing", "number", "list in field", "time", "deep"],
)
def test_bad_json_or_a_bad_field_is_answered_422_and_named(gateway: Daemon, body: bytes, pointer: str) -> None:
    answer = asked(gateway, request("POST", "/channels/open", body))
    assert is_problem(answer, 422)
    if pointer:
        assert [error["pointer"].lstrip("#") for error in answer.json["errors"]] == [pointer]


def test_another_content_type_is_answered_415(gateway: Daemon) -> None:
    assert is_problem(asked(gateway, request("POST", "/channels/open", b"text=hi", kind="text/plain")), 415)


def test_a_page_elsewhere_or_a_proxy_is_not_a_program_on_this_machine(gateway: Daemon) -> None:
    for field in ("Origin: https://evil.example", "X-Forwarded-For: 192.0.2.1", "Forwarded: for=192.0.2.1"):
        assert is_problem(asked(gateway, request("POST", "/channels/open", payload(), field)), 403)
    rebound = request("POST", "/channels/open", payload()).replace(b"Host: localhost", b"Host: evil.example")
    assert is_problem(asked(gateway, rebound), 403)


def test_a_full_conversation_is_answered_503_with_a_time_to_come_back(gateway: Daemon) -> None:
    send = ("send", "hi", "--channel", "open", "--conversation", "stuck", "--wait", "0.05")
    first = gateway.oclaw(*send)
    assert "accepted" in first.stdout and "tells what becomes of it" in first.stdout
    answers = [asked(gateway, request("POST", "/channels/open", payload(conversation="stuck"))) for _ in range(6)]
    assert {answer.status for answer in answers[:2]} == {202}
    assert is_problem(answers[-1], 503)
    assert int(answers[-1].fields["retry-after"]) >= 1
    assert "the message was not taken; as many messages of this conversation wait as" in gateway.oclaw(*send).stderr
    others = asked(gateway, request("POST", "/channels/open", payload(conversation="another")))
    assert others.status == 202, "a full conversation is no other's business"


def test_a_rejected_message_has_its_reason_in_the_trace(gateway: Daemon) -> None:
    answer = asked(gateway, request("POST", "/channels/open", payload("a forbidden thing"), "Prefer: wait=60"))
    assert is_problem(answer, 403)
    rejected = gateway.until_told("EnvelopeRejected")
    traced = gateway.oclaw("trace", rejected["envelope_id"])
    assert traced.returncode == 0, traced.stderr
    assert "a forbidden word" in traced.stdout


def said_hello(gateway: Daemon) -> Raw:
    raw = Raw(gateway.port)
    assert raw.upgrade("/channels/chat").status == 101
    raw.say(type="hello", data={"conversation": f"c{time.time_ns()}"})
    opcode, welcome = raw.hear()
    assert opcode == TEXT and json.loads(welcome)["type"] == "welcome"
    return raw


def test_broken_framing_closes_with_1002(gateway: Daemon) -> None:
    with said_hello(gateway) as raw:
        raw.frame(TEXT, b"{}", masked=False)
        assert raw.close_code() == 1002
    with said_hello(gateway) as raw:
        raw.frame(0x0B, b"")
        assert raw.close_code() == 1002
    with said_hello(gateway) as raw:
        raw.frame(TEXT, b"{}", first=0xC0)
        assert raw.close_code() == 1002


def test_a_binary_frame_closes_with_1003(gateway: Daemon) -> None:
    with said_hello(gateway) as raw:
        raw.frame(BINARY, b"{}")
        assert raw.close_code() == 1003


@pytest.mark.parametrize("text", [b"\xff", b"not json"])
def test_what_is_not_utf_8_or_not_json_closes_with_1007(gateway: Daemon, text: bytes) -> None:
    with said_hello(gateway) as raw:
        raw.frame(TEXT, text)
        assert raw.close_code() == 1007


def test_who_does_not_say_hello_is_closed_with_1008(gateway: Daemon, impatient: Daemon) -> None:
    with Raw(impatient.port) as raw:
        assert raw.upgrade("/channels/chat").status == 101
        assert raw.close_code() == 1008
    with Raw(gateway.port) as raw:
        raw.upgrade("/channels/chat")
        raw.say(type="message", id="1", data={"text": "without a hello"})
        assert raw.close_code() == 1008


def test_a_frame_that_is_too_large_closes_with_1009(gateway: Daemon) -> None:
    with said_hello(gateway) as raw:
        raw.frame(TEXT, b"x" * 5000)
        assert raw.close_code() == 1009


def test_who_never_reads_is_closed_with_1013(gateway: Daemon) -> None:
    with said_hello(gateway) as raw:
        for number in range(4000):
            raw.say(type="message", id=str(number), data={"text": "x" * 3900})
        assert raw.close_code() == 1013


def test_a_bad_field_is_told_and_the_connection_goes_on(gateway: Daemon) -> None:
    with said_hello(gateway) as raw:
        raw.say(type="message", id="1", data={"text": 5})
        assert json.loads(raw.hear()[1])["type"] == "error"
        raw.say(type="ping")
        assert json.loads(raw.hear()[1])["type"] == "pong"


def test_a_wrong_upgrade_is_refused_in_http(gateway: Daemon) -> None:
    with Raw(gateway.port) as raw:
        answer = raw.upgrade("/channels/nobody")
        assert is_problem(answer, 404)
    with Raw(gateway.port) as raw:
        assert is_problem(raw.upgrade("/channels/chat", "Origin: https://evil.example"), 403)


@settings(max_examples=60, deadline=None)
@given(st.binary(min_size=1, max_size=300))
def test_no_bytes_whatever_harm_the_http_door(gateway: Daemon, junk: bytes) -> None:
    with Raw(gateway.port) as raw:
        raw.write(junk)


@settings(max_examples=60, deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=5))
def test_no_json_whatever_harms_a_webhook(gateway: Daemon, value: object) -> None:
    body = json.dumps({"id": value, "text": value, "sender": value, "conversation": {"id": value}}).encode()
    assert asked(gateway, request("POST", "/channels/open", body)).status in (202, 422, 503)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 15), st.binary(max_size=200), st.sampled_from([0x80, 0x00, 0xC0]), st.booleans())
def test_no_frame_whatever_harms_the_websocket(
    gateway: Daemon, opcode: int, data: bytes, first: int, masked: bool
) -> None:
    with said_hello(gateway) as raw:
        raw.frame(opcode, data, first=first, masked=masked)
