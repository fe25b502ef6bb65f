"""Talk to the running gateway: JSON over HTTP on its control socket.

Uses http.client over AF_UNIX, not Trio: a command asks one question and ends, and importing Trio
would take longer than the answer. The other side is gateway/api/control.py.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from gateway.cli.frame import UNAVAILABLE, WRONG_CONFIGURATION, NotDone
from gateway.config import paths
from gateway.errors import indented

# A person waits at a terminal; `send --wait` adds its own seconds.
ANSWER_SECONDS = 30.0
# Of a stream, at a time: some hundred notices.
_PIECE_BYTES = 65_536


class Control:
    """The control socket of the gateway that runs the configuration in `directory`.

    Every method raises `NotDone` with a sentence: no gateway is running (code 69), or what it said no to (code 1).
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def get(self, *path: str, **query: str | int | None) -> Any:
        """Return the answer to GET."""
        return self._ask("GET", _target(path, query), None, ANSWER_SECONDS)

    def post(self, *path: str, body: object = None, wait_seconds: float = 0.0) -> Any:
        """Return the answer to POST; `wait_seconds` is how long the gateway was asked to take over it."""
        return self._ask("POST", _target(path, {}), body, ANSWER_SECONDS + wait_seconds)

    def lines(self, *path: str) -> Iterator[Any]:
        """Yield one value a line of an NDJSON stream, until all are there or the caller stops."""
        with self._answer("GET", _target(path, {}), None, None) as response:
            rest = b""
            # Not by lines: there http.client takes an answer that breaks off between two pieces for a whole one.
            while piece := response.read1(_PIECE_BYTES):
                *whole, rest = (rest + piece).split(b"\n")
                yield from (_decoded(line) for line in whole if line.strip())
            if rest.strip():
                yield _decoded(rest)

    def _ask(self, method: str, target: str, body: object, seconds: float) -> Any:
        with self._answer(method, target, body, seconds) as response:
            text = response.read()
            return _decoded(text) if text.strip() else None

    @contextmanager
    def _answer(
        self, method: str, target: str, body: object, seconds: float | None
    ) -> Iterator[http.client.HTTPResponse]:
        with closing(self._connect(seconds)) as connection:
            headers = {"Content-Type": "application/json"} if body is not None else {}
            sent = None if body is None else json.dumps(body, ensure_ascii=False).encode()
            try:
                connection.request(method, target, sent, headers)
                response = connection.getresponse()
                if response.status >= 300:
                    raise _refused(response)
                yield response
            except TimeoutError:
                why = f"the gateway did not answer within {seconds:g} s and may do it yet: oclaw status may tell why"
                raise NotDone(why, UNAVAILABLE) from None
            except http.client.IncompleteRead:
                raise NotDone(
                    "the gateway broke off in the middle of its answer: it has stopped", UNAVAILABLE
                ) from None
            except (OSError, http.client.HTTPException) as error:
                raise NotDone(f"the gateway broke off: {error or 'it has stopped'}", UNAVAILABLE) from error

    def _connect(self, seconds: float | None) -> http.client.HTTPConnection:
        refused = ""
        for path in paths.control_sockets(self._directory, os.environ):
            plug = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            plug.settimeout(seconds)
            try:
                plug.connect(str(path))
            except PermissionError:
                refused = f"a gateway is running, but you may not open {path}: run this as its user"
            except OSError:
                pass  # no socket, or one left behind by a kill: nobody runs there
            else:
                connection = http.client.HTTPConnection("localhost")
                connection.sock = plug
                return connection
            plug.close()
        where = self._directory.resolve()
        sentence = f"no gateway is running for {where}: start it with oclaw run --config {self._directory}"
        if _is_missing(where / "oclaw.toml"):
            sentence = f"{where} holds no oclaw.toml: name the gateway's folder with --config DIR or $OCLAW_CONFIG"
        raise NotDone(refused or sentence, UNAVAILABLE)


def _is_missing(path: Path) -> bool:
    """Say whether a file is surely not there; the service's folder may be closed to us."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        pass
    return False


def _target(path: tuple[str, ...], query: dict[str, str | int | None]) -> str:
    asked = urlencode({key: value for key, value in query.items() if value is not None})
    return "/" + "/".join(quote(part, safe="") for part in path) + (f"?{asked}" if asked else "")


def _decoded(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise NotDone("the gateway's answer is not JSON; is it of another version?") from error


def _refused(response: http.client.HTTPResponse) -> NotDone:
    """Return what a problem document (RFC 9457) says, with its list of problems one a line, or the status."""
    try:
        problem = json.loads(response.read())
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        return NotDone(f"the gateway answered {response.status} {response.reason}")
    problems = problem.get("problems")
    if isinstance(problems, list) and problems:
        lines = "".join([indented(str(problem)) for problem in problems])
        return NotDone(f"the old configuration stays in force:{lines}", WRONG_CONFIGURATION)
    return NotDone(str(problem.get("detail") or problem.get("title") or f"the gateway answered {response.status}"))
