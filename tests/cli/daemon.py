"""A stand-in for the daemon's control socket: answers from a table, remembers what it was asked."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any


class Asked:
    """What came in, as (method, target, body); `answers` maps "METHOD /target" to (status, body)."""

    def __init__(self, answers: dict[str, tuple[int, Any]]) -> None:
        self.answers, self.requests = answers, list[tuple[str, str, Any]]()


STREAMS = ("/tail", "/dead/export")


class Cut(list[Any]):
    """What a stream says before the gateway behind it is gone."""


@contextmanager
def control_socket(path: Path, answers: dict[str, tuple[int, Any]]) -> Iterator[Asked]:
    """Serve `answers` on a Unix socket while the block runs; lists for STREAMS go out as NDJSON."""
    asked = Asked(answers)

    class Answer(BaseHTTPRequestHandler):
        def answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            asked.requests.append((self.command, self.path, body))
            status, what = asked.answers.get(f"{self.command} {self.path}", (404, {"detail": "there is no such thing"}))
            if isinstance(what, Cut):
                self.cut(what)
                return
            text = "".join(json.dumps(x) + "\n" for x in what) if self.path in STREAMS else json.dumps(what)
            payload = text.encode() if what is not None else b""
            self.send_response(status)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def cut(self, lines: Cut) -> None:
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for line in (json.dumps(each).encode() + b"\n" for each in lines):
                self.wfile.write(b"%x\r\n%b\r\n" % (len(line), line))

        do_GET = do_POST = answer

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    class Server(socketserver.ThreadingUnixStreamServer):
        daemon_threads = True

    path.parent.mkdir(parents=True, exist_ok=True)
    with Server(str(path), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield asked
        finally:
            server.shutdown()
            thread.join()
            path.unlink()
