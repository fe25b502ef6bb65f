"""Raw bytes and the answers they deserve: one table for both parsers, whole and one byte at a time.

Each case is a name, the bytes, and what follows: the statuses answered in order (200 for an
accepted request, the refusal's status otherwise). What is incomplete adds nothing.
"""

from __future__ import annotations

HOST = b"Host: x\r\n"
OK = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"


def post(fields: bytes, body: bytes = b"") -> bytes:
    return b"POST / HTTP/1.1\r\n" + HOST + fields + b"\r\n" + body


def get(fields: bytes, *, line: bytes = b"GET / HTTP/1.1") -> bytes:
    return line + b"\r\n" + fields + b"\r\n"


CHUNKED = b"Transfer-Encoding: chunked\r\n"

CASES: list[tuple[str, bytes, list[int]]] = [
    ("a plain request", OK, [200]),
    ("two in one read", OK + OK, [200, 200]),
    ("a body with its length", post(b"Content-Length: 5\r\n", b"hello"), [200]),
    ("a length with surrounding space", post(b"Content-Length: \t5 \r\n", b"hello"), [200]),
    ("a body and the next request", post(b"Content-Length: 5\r\n", b"hello") + OK, [200, 200]),
    ("a length of zero", post(b"Content-Length: 0\r\n"), [200]),
    ("a body on a GET", get(HOST + b"Content-Length: 2\r\n") + b"hi" + OK, [200, 200]),
    ("a chunked body", post(CHUNKED, b"5\r\nhello\r\n0\r\n\r\n") + OK, [200, 200]),
    ("chunk sizes in any case", post(CHUNKED, b"a\r\n0123456789\r\n0A\r\n0123456789\r\n0\r\n\r\n"), [200]),
    ("chunk extensions and trailers", post(CHUNKED, b"5;a=b\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n") + OK, [200, 200]),
    ("an empty chunked body", post(CHUNKED, b"0\r\n\r\n"), [200]),
    ("the coding's name in any case", post(b"Transfer-Encoding: Chunked\r\n", b"0\r\n\r\n"), [200]),
    ("HTTP/1.0 without Host", b"GET / HTTP/1.0\r\n\r\n", [200]),
    ("nothing is read after HTTP/1.0", b"GET / HTTP/1.0\r\n\r\n" + OK, [200]),
    ("nothing is read after Connection: close", get(HOST + b"Connection: close\r\n") + OK, [200]),
    ("close among other options", get(HOST + b"Connection: Foo, CLOSE\r\n") + OK, [200]),
    ("an empty line before a request", b"\r\n" + OK, [200]),
    ("an absolute target", get(HOST, line=b"GET http://x/a?b HTTP/1.1"), [200]),
    ("an absolute target without a path", get(HOST, line=b"GET http://x HTTP/1.1"), [200]),
    ("the target of OPTIONS", get(HOST, line=b"OPTIONS * HTTP/1.1"), [200]),
    ("an upgrade that nobody asked us for", get(HOST + b"Connection: Upgrade\r\nUpgrade: h2c\r\n") + OK, [200, 200]),
    ("a value with bytes above 127", get(HOST + b"X-Name: \xc3\xa9\r\n"), [200]),
    ("an empty value", get(HOST + b"X-Empty:\r\n"), [200]),
    ("Expect: 100-continue", post(b"Content-Length: 2\r\nExpect: 100-continue\r\n", b"hi"), [200]),
    ("a head cut short", b"GET / HTTP/1.1\r\nHost: x\r\n", []),
    ("a body cut short", post(b"Content-Length: 5\r\n", b"hell"), []),
    ("a chunk cut short", post(CHUNKED, b"5\r\nhell"), []),
    ("no Host", get(b""), [400]),
    ("two Hosts", get(HOST + HOST), [400]),
    ("two Hosts in HTTP/1.0", get(HOST + HOST, line=b"GET / HTTP/1.0"), [400]),
    ("a Host that is not one", get(b"Host: a b\r\n"), [400]),
    ("a Host with a path", get(b"Host: x/y\r\n"), [400]),
    ("bare LF", b"GET / HTTP/1.1\nHost: x\n\n", [400]),
    ("bare LF after one field", b"GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n", [400]),
    ("bare CR in a value", get(HOST + b"A: b\rc\r\n"), [400]),
    ("NUL in a value", get(HOST + b"A: b\0c\r\n"), [400]),
    ("NUL in a target", get(HOST, line=b"GET /\0 HTTP/1.1"), [400]),
    ("a folded field", get(HOST + b"A: b\r\n c\r\n"), [400]),
    ("a space before the first field", get(b" " + HOST), [400]),
    ("a space before the colon", get(HOST + b"A : b\r\n"), [400]),
    ("a field without a colon", get(HOST + b"nonsense\r\n"), [400]),
    ("a field without a name", get(HOST + b": b\r\n"), [400]),
    ("a field's name with a bad character", get(HOST + b"a(b): c\r\n"), [400]),
    ("length and coding together", post(b"Content-Length: 5\r\n" + CHUNKED, b"0\r\n\r\n"), [400]),
    ("coding and length together", post(CHUNKED + b"Content-Length: 5\r\n", b"0\r\n\r\n"), [400]),
    ("two lengths", post(b"Content-Length: 5\r\nContent-Length: 6\r\n", b"hello"), [400]),
    ("one length twice", post(b"Content-Length: 5\r\nContent-Length: 5\r\n", b"hello"), [400]),
    ("one length twice in one field", post(b"Content-Length: 5, 5\r\n", b"hello"), [400]),
    ("a length with a sign", post(b"Content-Length: +5\r\n", b"hello"), [400]),
    ("a negative length", post(b"Content-Length: -5\r\n", b"hello"), [400]),
    ("a length in hexadecimal", post(b"Content-Length: 0x5\r\n", b"hello"), [400]),
    ("a length without a number", post(b"Content-Length:\r\n", b"hello"), [400]),
    ("a length of 20 digits", post(b"Content-Length: 10000000000000000000\r\n"), [400]),
    ("a length of 40 digits", post(b"Content-Length: " + b"1" * 40 + b"\r\n"), [400]),
    ("gzip, chunked", post(b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n"), [400]),
    ("a tab behind chunked", post(b"Transfer-Encoding: chunked\t\r\n", b"0\r\n\r\n"), [400]),
    ("a tab and spaces behind chunked", post(b"Transfer-Encoding: chunked \t \r\n", b"0\r\n\r\n"), [400]),
    ("spaces behind chunked", post(b"Transfer-Encoding: \tchunked  \r\n", b"0\r\n\r\n"), [200]),
    ("chunked twice", post(CHUNKED + CHUNKED, b"0\r\n\r\n"), [400]),
    ("chunked, chunked", post(b"Transfer-Encoding: chunked, chunked\r\n", b"0\r\n\r\n"), [400]),
    ("identity", post(b"Transfer-Encoding: identity\r\n"), [400]),
    ("a coding with a vertical tab", post(b"Transfer-Encoding: \x0bchunked\r\n", b"0\r\n\r\n"), [400]),
    ("an empty coding", post(b"Transfer-Encoding:\r\n"), [400]),
    ("a coding in HTTP/1.0", get(HOST + CHUNKED, line=b"POST / HTTP/1.0") + b"0\r\n\r\n", [400]),
    ("a chunk size that is not one", post(CHUNKED, b"xyz\r\n"), [400]),
    ("a chunk size with a sign", post(CHUNKED, b"+5\r\nhello\r\n0\r\n\r\n"), [400]),
    ("a chunk size with 0x", post(CHUNKED, b"0x5\r\nhello\r\n0\r\n\r\n"), [400]),
    ("a chunk size of 17 digits", post(CHUNKED, b"00000000000000005\r\n"), [400]),
    ("a chunk longer than its size", post(CHUNKED, b"3\r\nhello\r\n0\r\n\r\n"), [400]),
    ("a chunk ended by bare LF", post(CHUNKED, b"5\r\nhello\n0\r\n\r\n"), [400]),
    ("a chunk size ended by bare LF", post(CHUNKED, b"5\nhello\r\n0\r\n\r\n"), [400]),
    ("a trailer that is not a field", post(CHUNKED, b"0\r\nnonsense\r\n\r\n"), [400]),
    ("another version", get(HOST, line=b"GET / HTTP/2.0"), [505]),
    ("an older version", get(HOST, line=b"GET / HTTP/0.9"), [505]),
    ("HTTP/1.2", get(HOST, line=b"GET / HTTP/1.2"), [505]),
    ("no version", get(HOST, line=b"GET /"), [400]),
    ("a version in lower case", get(HOST, line=b"GET / http/1.1"), [400]),
    ("two spaces", get(HOST, line=b"GET  / HTTP/1.1"), [400]),
    ("a target with a space", get(HOST, line=b"GET /a b HTTP/1.1"), [400]),
    ("a target with a fragment", get(HOST, line=b"GET /a#b HTTP/1.1"), [400]),
    ("a relative target", get(HOST, line=b"GET a HTTP/1.1"), [400]),
    ("a target above 127", get(HOST, line=b"GET /\xc3\xa9 HTTP/1.1"), [400]),
    ("the target * with GET", get(HOST, line=b"GET * HTTP/1.1"), [400]),
    ("CONNECT", get(HOST, line=b"CONNECT x:443 HTTP/1.1"), [501]),
    ("TRACE", get(HOST, line=b"TRACE / HTTP/1.1"), [501]),
    ("an unknown method", get(HOST, line=b"BREW / HTTP/1.1"), [501]),
    ("a method in lower case", get(HOST, line=b"get / HTTP/1.1"), [501]),
    ("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", [400]),
    ("an unknown expectation", get(HOST + b"Expect: coffee\r\n"), [417]),
    ("a body above the limit", post(b"Content-Length: 1001\r\n"), [413]),
    ("a chunked body above the limit", post(CHUNKED, b"3e9\r\n" + b"x" * 1001 + b"\r\n0\r\n\r\n"), [413]),
    ("a target above the limit", get(HOST, line=b"GET /" + b"a" * 600 + b" HTTP/1.1"), [414]),
    ("a head above the limit", get(HOST + b"A: " + b"b" * 3000 + b"\r\n"), [431]),
    ("more fields than the limit", get(HOST + b"A: b\r\n" * 40), [431]),
    ("a good request, then a bad one", OK + get(b""), [200, 400]),
    ("nothing is read after a bad one", get(b"") + OK, [400]),
]  # fmt: skip
