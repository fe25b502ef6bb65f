"""Slack on loopback, as far as a bot sees it: the Web API, and Socket Mode with its addresses that open once.

The official SDK's clients talk to it in `tests/channels/test_slack_stub.py`; what they accept is what oclaw is held to.
It remembers what was posted, sends an envelope again until it is acknowledged, and can be closed and opened
again on the same port without forgetting anything.

    stub = SlackStub()
    async with stub.open():          # again after it was left: the same port, the same memory
        stub.tell(event)             # through Socket Mode
        assert stub.texts() == [...]
"""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs

import trio

from protocols.errors import ClientGone, HandshakeRefused, WebSocketClosed
from protocols.http1.messages import Request, Response
from protocols.hub.exchange import Exchange
from protocols.hub.hub import Hub
from protocols.transport.listeners import open_tcp
from protocols.websocket.connection import WebSocketConnection
from protocols.websocket.server import accept_websocket

BOT_TOKEN, APP_TOKEN = "xoxb-stub", "xapp-stub"
BOT = {"user_id": "U0BOT00001", "bot_id": "B0BOT00001", "user": "oclaw", "team": "Acme", "team_id": "T0TEAM0001"}
SCOPES = (
    "chat:write,channels:history,groups:history,im:history,mpim:history,im:write,channels:read,groups:read,im:read,"
    "mpim:read,files:read,files:write,reactions:write"
)
_HANG_UP = "hang up"


class SlackStub:
    """One workspace. `again_seconds`: how long an envelope may stay unacknowledged (Slack waits three seconds).

    One that goes and comes back needs a `port` that is held meanwhile (tests/support/ports.py).
    """

    def __init__(self, *, again_seconds: float = 3.0, port: int = 0) -> None:
        self.port = port
        self.posts: list[dict[str, Any]] = []
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.frames: list[dict[str, Any]] = []
        self.files: dict[str, bytes] = {}
        self.sockets: list[WebSocketConnection] = []
        self.connections = 0
        self._reading: dict[WebSocketConnection, trio.CancelScope] = {}
        # A server that holds its connections and reads nothing, as behind a cable that is cut.
        self.deaf = False
        self._again_seconds = again_seconds
        self._next: dict[str, deque[Response | str]] = defaultdict(deque)
        self._unacknowledged: dict[str, dict[str, Any]] = {}
        self._tickets: set[str] = set()
        self._numbers = 0
        self._scope: trio.CancelScope | None = None
        self.news = trio.Event()
        self.when_acknowledged: dict[str, Callable[[], None]] = {}

    @property
    def base_url(self) -> str:
        """Where the Web API is."""
        return f"http://127.0.0.1:{self.port}/api/"

    @asynccontextmanager
    async def open(self) -> AsyncIterator[SlackStub]:
        """Serve until the block is left; then every connection is cut, as by a crash."""
        async with trio.open_nursery() as nursery:
            listener = open_tcp("127.0.0.1", self.port)[0]
            self.port = listener.port
            hub = Hub(lambda exchange: self._dispatch(exchange, nursery), lambda _: None)
            await nursery.start(hub.serve, [listener])
            nursery.start_soon(self._send_again)
            self._scope = nursery.cancel_scope
            try:
                yield self
            finally:
                for socket in self.sockets:
                    socket.abort()
                self.sockets.clear()
                self._tickets.clear()
                nursery.cancel_scope.cancel()

    # -- what a test says --------------------------------------------------------------------------

    def will(self, method: str, *answers: Response | dict[str, Any]) -> None:
        """Answer the next calls of a method so."""
        self._next[method].extend(a if isinstance(a, Response) else _json(a) for a in answers)

    def hangs_up(self, method: str, *, after: bool) -> None:
        """Break the connection of the next call, before or after it has worked."""
        self._next[method].append(f"{_HANG_UP} {'after' if after else 'before'}")

    def tell(self, payload: dict[str, Any], kind: str = "events_api") -> str:
        """Send an envelope through Socket Mode until it is acknowledged; returns its id."""
        self._numbers += 1
        envelope_id = f"env-{self._numbers}"
        envelope = {"envelope_id": envelope_id, "type": kind, "payload": payload, "accepts_response_payload": False}
        self._unacknowledged[envelope_id] = {**envelope, "at": trio.current_time(), "tries": 0}
        self._push(self._unacknowledged[envelope_id])
        return envelope_id

    def stands(self, event: dict[str, Any]) -> None:
        """Have somebody say something of which no connection is told."""
        self.posts.append({key: event[key] for key in ("channel", "user", "text", "ts", "thread_ts") if key in event})

    def goes_silent(self) -> None:
        """Hold the connections that stand, and neither read nor write them any more."""
        for socket in self.sockets:
            self._reading[socket].cancel()

    async def say(self, frame: dict[str, Any], socket: int = -1) -> None:
        """Send any frame over one of the connections."""
        await self.sockets[socket].send(json.dumps(frame))

    def texts(self, channel: str = "") -> list[str]:
        """What stands in a channel now, in order."""
        return [post["text"] for post in self.posts if channel in ("", post["channel"])]

    def acknowledged(self, envelope_id: str) -> bool:
        """Whether an envelope needs no repetition."""
        return envelope_id not in self._unacknowledged

    async def until(self, done: Any) -> None:
        """Return when `done()` is true; looked at whenever something happened."""
        while not done():
            self.news = trio.Event()
            with trio.move_on_after(0.05):
                await self.news.wait()

    # -- Socket Mode -------------------------------------------------------------------------------

    async def _converse(self, exchange: Exchange) -> None:
        ticket = exchange.request.query.partition("ticket=")[2].partition("&")[0]
        if ticket not in self._tickets:
            exchange.answer(Response(408))
            return
        self._tickets.discard(ticket)
        try:
            async with accept_websocket(exchange) as socket:
                await self._serve(socket)
        except (HandshakeRefused, ClientGone, WebSocketClosed):
            pass

    async def _serve(self, socket: WebSocketConnection) -> None:
        self.connections += 1
        number = len(self.sockets) + 1
        hello = {"type": "hello", "num_connections": number, "connection_info": {"app_id": "A0APP00001"}}
        await socket.send(json.dumps({**hello, "debug_info": {"host": "stub", "approximate_connection_time": 3600}}))
        # In one step: what is told from now on comes behind what was told before.
        self.sockets.append(socket)
        try:
            for envelope in list(self._unacknowledged.values()):
                self._push(envelope)
            if self.deaf:
                await trio.sleep_forever()
            with trio.CancelScope() as self._reading[socket]:
                async for text in socket:
                    self._heard(json.loads(text))
            if self._reading[socket].cancelled_caught:
                self.sockets.remove(socket)
                await trio.sleep_forever()
        finally:
            self._reading.pop(socket, None)
            if socket in self.sockets:
                self.sockets.remove(socket)
            self.news.set()

    def _heard(self, frame: dict[str, Any]) -> None:
        self.frames.append(frame)
        envelope_id = frame.get("envelope_id", "")
        self._unacknowledged.pop(envelope_id, None)
        self.when_acknowledged.pop(envelope_id, lambda: None)()
        self.news.set()

    def _push(self, envelope: dict[str, Any]) -> None:
        if not self.sockets:
            return
        sent = {key: value for key, value in envelope.items() if key not in ("at", "tries")}
        if envelope["tries"]:
            sent |= {"retry_attempt": envelope["tries"], "retry_reason": "timeout"}
        envelope["at"], envelope["tries"] = trio.current_time(), envelope["tries"] + 1
        self._machine_send(self.sockets[-1], sent)

    def _machine_send(self, socket: WebSocketConnection, frame: dict[str, Any]) -> None:
        try:
            socket._machine.say(json.dumps(frame))
            socket._write()
        except WebSocketClosed:
            # It comes again over the next connection.
            pass

    async def _send_again(self) -> None:
        while True:
            await trio.sleep(self._again_seconds / 4)
            for envelope in list(self._unacknowledged.values()):
                if trio.current_time() - envelope["at"] >= self._again_seconds:
                    self._push(envelope)

    # -- the Web API -------------------------------------------------------------------------------

    def _dispatch(self, exchange: Exchange, nursery: trio.Nursery) -> None:
        request = exchange.request
        if request.headers.has_token("upgrade", "websocket"):
            nursery.start_soon(self._converse, exchange)
        elif request.path.startswith("/api/"):
            nursery.start_soon(self._api, exchange, request.path.removeprefix("/api/"))
        else:
            exchange.answer(self._file(request))

    async def _api(self, exchange: Exchange, method: str) -> None:
        await trio.lowlevel.checkpoint()
        arguments = _arguments(exchange.request)
        self.calls.append((method, arguments))
        planned = self._next[method].popleft() if self._next[method] else None
        if isinstance(planned, Response):
            exchange.answer(planned)
        elif planned == f"{_HANG_UP} before":
            await exchange.upgrade().aclose()
        else:
            response = self._worked(method, arguments, exchange.request)
            if planned is None:
                exchange.answer(response)
            else:
                await exchange.upgrade().aclose()
        self.news.set()

    def _worked(self, method: str, arguments: dict[str, Any], request: Request) -> Response:
        token = request.headers.get("Authorization").removeprefix("Bearer ")
        if token != (APP_TOKEN if method == "apps.connections.open" else BOT_TOKEN):
            return _json({"ok": False, "error": "invalid_auth" if token else "not_authed"})
        answer = getattr(self, "_" + method.replace(".", "_"), None)
        if answer is None:
            return _json({"ok": False, "error": "unknown_method"})
        return _json(answer(arguments))

    def _auth_test(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"ok": True, "url": "https://acme.slack.com/", **BOT}

    def _apps_connections_open(self, _: dict[str, Any]) -> dict[str, Any]:
        self._numbers += 1
        self._tickets.add(f"t{self._numbers}")
        return {"ok": True, "url": f"ws://127.0.0.1:{self.port}/link/?ticket=t{self._numbers}&app_id=A0APP00001"}

    def _chat_postMessage(self, arguments: dict[str, Any]) -> dict[str, Any]:
        if not arguments.get("channel", "").startswith(("C", "D", "G", "U")):
            return {"ok": False, "error": "channel_not_found"}
        if not arguments.get("text"):
            return {"ok": False, "error": "no_text"}
        place = _direct(arguments["channel"]) if arguments["channel"].startswith("U") else arguments["channel"]
        return self._stored({**arguments, "channel": place, "user": BOT["user_id"], "bot_id": BOT["bot_id"]})

    def _conversations_open(self, arguments: dict[str, Any]) -> dict[str, Any]:
        return {"ok": True, "channel": {"id": _direct(arguments["users"])}}

    def _chat_update(self, arguments: dict[str, Any]) -> dict[str, Any]:
        post = self._find(arguments)
        if post is None:
            return {"ok": False, "error": "message_not_found"}
        post["text"] = arguments["text"]
        post["edits"] = post.get("edits", 0) + 1
        return {"ok": True, "channel": post["channel"], "ts": post["ts"], "text": post["text"]}

    def _chat_delete(self, arguments: dict[str, Any]) -> dict[str, Any]:
        post = self._find(arguments)
        if post is None:
            return {"ok": False, "error": "message_not_found"}
        self.posts.remove(post)
        return {"ok": True, "channel": post["channel"], "ts": post["ts"]}

    def _reactions_add(self, arguments: dict[str, Any]) -> dict[str, Any]:
        return {"ok": True}

    _reactions_remove = _reactions_add

    def _conversations_history(self, arguments: dict[str, Any]) -> dict[str, Any]:
        if not arguments["channel"].startswith(("C", "D", "G")):
            return {"ok": False, "error": "channel_not_found"}
        oldest = float(arguments.get("oldest", 0))
        thread = arguments.get("ts", "")
        found = [
            self._with_thread(post)
            for post in self.posts
            if post["channel"] == arguments["channel"]
            and float(post["ts"]) >= oldest
            and (post.get("thread_ts", "") == thread or post["ts"] == thread)
        ]
        if not thread:
            found.reverse()
        if arguments.get("include_all_metadata") not in ("true", "1"):
            found = [{key: value for key, value in post.items() if key != "metadata"} for post in found]
        start, limit = int(arguments.get("cursor", 0)), int(arguments.get("limit", 100))
        more = start + limit < len(found)
        page = {"ok": True, "messages": found[start : start + limit], "has_more": more}
        if more:
            page["response_metadata"] = {"next_cursor": str(start + limit)}
        return page

    _conversations_replies = _conversations_history

    def _with_thread(self, post: dict[str, Any]) -> dict[str, Any]:
        below = [each["ts"] for each in self.posts if each.get("thread_ts") == post["ts"]]
        return {**post, "thread_ts": post["ts"], "latest_reply": max(below)} if below else post

    def _users_conversations(self, arguments: dict[str, Any]) -> dict[str, Any]:
        wanted = arguments["types"] == "im"
        rooms = [each for each in dict.fromkeys(post["channel"] for post in self.posts) if (each[0] == "D") is wanted]
        return {"ok": True, "channels": [{"id": room, "is_im": wanted} for room in rooms]}

    def _files_getUploadURLExternal(self, arguments: dict[str, Any]) -> dict[str, Any]:
        self._numbers += 1
        file_id = f"F{self._numbers}"
        return {"ok": True, "file_id": file_id, "upload_url": f"http://127.0.0.1:{self.port}/upload/{file_id}"}

    def _files_completeUploadExternal(self, arguments: dict[str, Any]) -> dict[str, Any]:
        if not arguments["channel_id"].startswith(("C", "D", "G")):
            return {"ok": False, "error": "invalid_arguments"}
        files = arguments["files"]
        if isinstance(files, str):
            files = json.loads(files)
        place = {"channel": arguments["channel_id"], "thread_ts": arguments.get("thread_ts", "")}
        mine = {"user": BOT["user_id"], "bot_id": BOT["bot_id"]}
        self._stored({**place, **mine, "text": arguments.get("initial_comment", ""), "files": files})
        return {"ok": True, "files": [{**file, "name": file.get("title", "")} for file in files]}

    def _file(self, request: Request) -> Response:
        _, _, name = request.path.rpartition("/")
        if request.method == "POST":
            self.files[name] = request.body
            return Response(200, body=b"OK - %d" % len(request.body))
        if request.headers.get("Authorization") != f"Bearer {BOT_TOKEN}":
            return Response(200, (("Content-Type", "text/html; charset=utf-8"),), b"<html>Sign in to Slack</html>")
        return Response(200, (("Content-Type", "application/octet-stream"),), self.files.get(name, b""))

    def _stored(self, post: dict[str, Any]) -> dict[str, Any]:
        import time

        self._numbers += 1
        post["ts"] = f"{int(time.time())}.{self._numbers:06d}"
        self.posts.append(post)
        return {"ok": True, "channel": post["channel"], "ts": post["ts"], "message": {"text": post["text"]}}

    def _find(self, arguments: dict[str, Any]) -> dict[str, Any] | None:
        place = (arguments.get("channel"), arguments.get("ts"))
        return next((post for post in self.posts if (post["channel"], post["ts"]) == place), None)


def _direct(person: str) -> str:
    return "D" + person[1:]


def _arguments(request: Request) -> dict[str, Any]:
    kind = request.headers.get("Content-Type")
    if kind.startswith("application/json"):
        found = json.loads(request.body or b"{}")
        return found if isinstance(found, dict) else {}
    return {key: values[0] for key, values in parse_qs(request.body.decode(), keep_blank_values=True).items()}


def _json(document: dict[str, Any]) -> Response:
    headers = (("Content-Type", "application/json; charset=utf-8"), ("X-OAuth-Scopes", SCOPES))
    return Response(200, headers, json.dumps(document).encode())
