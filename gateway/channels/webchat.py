"""The web chat: one page for a person with a browser, speaking the websocket channel's frames.

The page is one answer without any other address in it: style and script stand inline and are
allowed by their hashes alone. It holds no secret; who may talk is decided at the socket.
"""

from __future__ import annotations

import base64
import hashlib
from html import escape
from pathlib import Path

from msgspec import Struct

from gateway.channels.trust import LOCAL_HOSTS, Neighbours
from gateway.channels.websocket import WebSocketChannel
from gateway.channels.websocket_settings import Settings as SocketSettings
from gateway.config.secret import Secret
from gateway.ports import Kit
from protocols.http1.messages import Request, Response
from protocols.problem import problem

PLATFORM = "webchat"
_PAGE = Path(__file__).parent / "webchat_page"


class Settings(Struct, frozen=True, kw_only=True):
    """With `local`, programs and pages on this machine need no token; everybody else needs one of `tokens`."""

    title: str = "oclaw"
    greeting: str = "What can I do for you?"
    local: bool = True
    tokens: dict[str, Secret] = {}
    hosts: tuple[str, ...] = LOCAL_HOSTS
    origins: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.socket_settings()

    def socket_settings(self) -> SocketSettings:
        """Return these settings as the socket's; raises `SettingError`."""
        return SocketSettings(tokens=self.tokens, local=self.local, hosts=self.hosts, origins=self.origins)


class WebchatChannel:
    """A websocket channel with a page in front."""

    platform = PLATFORM
    traits = WebSocketChannel.traits

    def __init__(self, name: str, settings: Settings, kit: Kit) -> None:
        self.name = name
        self._settings = settings
        # All the talking is the socket's; only the page is ours.
        talk = WebSocketChannel(name, settings.socket_settings(), kit, PLATFORM)
        self.run, self.converse = talk.run, talk.converse
        self.deliver, self.stream = talk.deliver, talk.stream
        self.address_of, self.circuit_of = talk.address_of, talk.circuit_of
        self._neighbours = Neighbours(settings.hosts, settings.origins)
        self._page, self._headers = assemble(
            title=settings.title, greeting=settings.greeting, socket=f"/channels/{name}"
        )

    def front_page(self, request: Request, now: float) -> Response:
        """Answer with the page, which asks for a token where one is needed."""
        if request.method not in ("GET", "HEAD"):
            return problem(405, "The page is read with GET.", headers=(("Allow", "GET, HEAD"),))
        objection = self._neighbours.objection(request)
        if objection and not self._settings.tokens:
            return problem(403, objection)
        needed = b"needed" if objection or not self._settings.local else b"no"
        return Response(200, self._headers, self._page.replace(b"{{token}}", needed, 1))


def build(name: str, settings: Settings, kit: Kit) -> WebchatChannel:
    """Make the channel."""
    return WebchatChannel(name, settings, kit)


def assemble(**words: str) -> tuple[bytes, tuple[tuple[str, str], ...]]:
    """Put style and script into the page; return it with the headers that allow exactly these and nothing else."""
    page, style, script = [(_PAGE / name).read_text("utf-8") for name in ("index.html", "chat.css", "chat.js")]
    for name, value in words.items():
        page = page.replace("{{" + name + "}}", escape(value))
    page = page.replace('<link rel="stylesheet" href="chat.css">', f"<style>{style}</style>")
    page = page.replace('<script src="chat.js"></script>', f"<script>{script}</script>")
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return page.encode(), (
        ("Content-Type", "text/html; charset=utf-8"),
        ("Content-Security-Policy", policy),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "no-referrer"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
        ("Cache-Control", "no-store"),
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
