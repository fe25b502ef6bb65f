"""One IRC connection as a state machine: lines in, effects out. Pure; the socket is the driver's.

    CAP LS 302 → NICK, USER → SASL where wanted → CAP END → 001 … end of MOTD → JOIN each → ready

Numerics are those of RFC 2812, section 5, and of IRCv3's SASL 3.1 (900 to 908).
"""

from __future__ import annotations

from base64 import b64encode

from msgspec import Struct

from gateway.channels.irc_lines import Line, encode, folded

# What is asked for where it is offered: SASL, who is logged in as whom, when it was said, ids, and who is a program.
WANTED = ("account-tag", "message-tags", "server-time")
_KNOWN = frozenset((*WANTED, "sasl"))
_SASL_CHUNK = 400
_NICK_TAKEN = frozenset(("433", "436", "437"))
# Servers have many more ways to say no, some without the channel's name: what says that all was answered is `_JOINED`.
_NOT_JOINED = frozenset(("403", "405", "407", "437", "470", "471", "473", "474", "475", "476", "477", "480", "489"))
# Of RFC 2812, and of those who take no words of strangers: +R (415, 477, 486), +g (716), +C (492), +z (489), and 531.
_UNSENDABLE = frozenset((
    "401", "402", "403", "404", "406", "407", "411", "412", "413", "414", "415", "416",
    "477", "486", "489", "492", "531", "716",
))  # fmt: skip
_SASL_FAILED = frozenset(("902", "904", "905", "908"))
# An account or a nick that is tried too soon after a ban or a throttle makes it longer.
_BANNED_SECONDS = 300.0
_MOST_NICKS = 5
# The PING behind our JOINs: a server works in order, so its PONG says that each of them was dealt with.
_JOINED = "oclaw-joined"
# We leave no channel ourselves.
_TAKEN_OUT = "the server took us out"
# Servers allow 10 to 250 channels and nicks of 9 to 32 characters; what one says beyond that is not kept.
_MOST_CHANNELS, _LONGEST_NICK = 500, 64


class Login(Struct, frozen=True, kw_only=True):
    """Who we want to be."""

    nick: str
    username: str
    realname: str
    channels: tuple[str, ...] = ()
    sasl_user: str = ""
    sasl_password: str = ""
    password: str = ""


class Send(Struct, frozen=True):
    """Write this line."""

    line: bytes


class Ready(Struct, frozen=True):
    """We are in; every configured channel has been joined or has refused."""


class Moved(Struct, frozen=True):
    """We are called otherwise, or are in other channels than before; `status` shall say so."""


class Said(Struct, frozen=True):
    """Somebody wrote a PRIVMSG to a channel, or to us."""

    line: Line
    target: str
    text: str
    to_channel: bool


class Answered(Struct, frozen=True):
    """The server answered our PING: it has dealt with everything that was sent before."""

    token: str


class Refusal(Struct, frozen=True):
    """The server did not pass a line to `target` on."""

    target: str
    why: str


class Strange(Struct, frozen=True):
    """Something that is not for us, to be counted; `kind` is one of few words."""

    kind: str


class Gone(Struct, frozen=True):
    """The connection is of no more use."""

    why: str
    after_seconds: float = 0.0


class Wrong(Struct, frozen=True):
    """A setting is refused by the server; trying again cannot help."""

    setting: str
    found: str
    wanted: str


Effect = Send | Ready | Moved | Said | Answered | Refusal | Strange | Gone | Wrong


class Session:
    """What is known of one connection. `nick` is what we are called at the moment."""

    def __init__(self, login: Login, *, nick_was_ours: bool = False) -> None:
        """`nick_was_ours`: this network knew us by the nick of `login` before."""
        self._login, self._nick_was_ours = login, nick_was_ours
        self.nick = login.nick
        self.joined: set[str] = set()
        self.refused: dict[str, str] = {}
        self.ready = False
        #: We are let in, and have asked to be let into our channels.
        self.joining = False
        self._registered = self._sasl = False
        self._offered: set[str] = set()
        self._tried = 0
        self._own = frozenset(folded(channel.partition(" ")[0]) for channel in login.channels)
        self._joining: set[str] = set()
        self._statusmsg, self._chantypes = "", "#&+!"

    def begin(self) -> list[Effect]:
        """Return what is said first."""
        login = self._login
        first = [encode("CAP", "LS", "302")]
        if login.password:
            first.append(encode("PASS", login.password))
        first += [encode("NICK", login.nick), encode("USER", login.username, "0", "*", login.realname)]
        return [Send(line) for line in first]

    def take(self, line: Line) -> list[Effect]:
        """Obey one line. Never raises, whatever it holds."""
        take = getattr(self, f"_on_{line.command.lower()}", None) if line.command.isalnum() else None
        if take is not None:
            effects: list[Effect] = take(line)
            return effects
        if line.command in _NICK_TAKEN and not self._registered:
            return self._another_nick()
        if line.command in _SASL_FAILED:
            wanted = "a user and password that the network's services know"
            return [Wrong("sasl_password", f"refused ({line.param(-1)})", wanted)]
        if line.command in _NOT_JOINED and folded(line.param(1)) in self._joining:
            return self._not_joined(line)
        if line.command in _UNSENDABLE:
            return [Refusal(folded(line.param(1)), f"{line.param(-1)} ({line.command})")]
        return []

    def absence(self, target: str) -> str:
        """Return why we are not in a channel where we are to be; '' when we are, or it is none of those."""
        name = folded(target)
        return "" if name in self.joined or name not in self._own else self.refused.get(name, _TAKEN_OUT)

    def tidy(self) -> list[Effect]:
        """Return what is tried again every now and then: our nick, channels we are not in."""
        effects: list[Effect] = []
        if self.ready:
            if folded(self.nick) != folded(self._login.nick):
                effects.append(Send(encode("NICK", self._login.nick)))
            missing = [each for each in self._login.channels if folded(each.partition(" ")[0]) not in self.joined]
            self._joining |= {folded(each.partition(" ")[0]) for each in missing}
            effects += [_join(channel) for channel in missing]
        return effects

    # -- registration -----------------------------------------------------------------------------

    def _on_cap(self, line: Line) -> list[Effect]:
        match line.param(1).upper():
            case "LS":
                self._offered |= _KNOWN & {each.partition("=")[0] for each in line.param(-1).split()}
                return [] if line.param(2) == "*" else self._request()
            case "ACK":
                if "sasl" in line.param(-1).split() and self._login.sasl_user:
                    self._sasl = True
                    return [Send(encode("AUTHENTICATE", "PLAIN"))]
                return [Send(encode("CAP", "END"))]
            case "NAK":
                return [Send(encode("CAP", "END"))] if not self._login.sasl_user else [_no_sasl()]
            case _:
                return []

    def _request(self) -> list[Effect]:
        if self._registered:
            return []
        wanted = [each for each in WANTED if each in self._offered]
        if self._login.sasl_user:
            if "sasl" not in self._offered:
                return [_no_sasl()]
            wanted.append("sasl")
        return [Send(encode("CAP", "REQ", " ".join(wanted)) if wanted else encode("CAP", "END"))]

    def _on_authenticate(self, line: Line) -> list[Effect]:
        user, asked = self._login.sasl_user, self._sasl
        self._sasl = False
        if line.param(0) != "+" or not asked:
            return []
        proof = b64encode(f"{user}\0{user}\0{self._login.sasl_password}".encode()).decode()
        chunks = [proof[at : at + _SASL_CHUNK] for at in range(0, len(proof), _SASL_CHUNK)]
        if len(chunks[-1]) == _SASL_CHUNK:
            chunks.append("+")
        return [Send(encode("AUTHENTICATE", each)) for each in chunks]

    def _on_903(self, line: Line) -> list[Effect]:
        return [Send(encode("CAP", "END"))]

    def _on_906(self, line: Line) -> list[Effect]:
        # We abort nothing: the server does, whose services are not there to ask.
        return [_no_sasl()] if self._login.sasl_user and not self._registered else []

    def _on_421(self, line: Line) -> list[Effect]:
        # A server without CAP goes on by itself; one that should have known us by SASL must not.
        return [_no_sasl()] if line.param(1).upper() == "CAP" and self._login.sasl_user else []

    def _another_nick(self) -> list[Effect]:
        self._tried += 1
        if self._tried > _MOST_NICKS:
            return [Gone(f"the nick {self._login.nick} and {_MOST_NICKS} like it are taken", _BANNED_SECONDS)]
        self.nick = f"{self._login.nick[: 9 - self._tried]}{'_' * self._tried}"
        if len(self._login.nick) > 9 or self.nick == self._login.nick:
            self.nick = f"{self._login.nick[: -self._tried]}{'_' * self._tried}"
        return [Send(encode("NICK", self.nick))]

    def _on_432(self, line: Line) -> list[Effect]:
        if self._registered:
            return []
        if self._nick_was_ours:  # its form is right, then: services hold it back, as they do after a broken connection
            return self._another_nick()
        return [Wrong("nick", f'"{self._login.nick}", which the server refuses', "a nick of the form it allows")]

    def _on_464(self, line: Line) -> list[Effect]:
        return [Wrong("password", "refused by the server", "the server's password")]

    def _on_465(self, line: Line) -> list[Effect]:
        return [Gone(f"banned: {line.param(-1)}", _BANNED_SECONDS)]

    def _on_001(self, line: Line) -> list[Effect]:
        self._registered = True
        self.nick = line.param(0)[:_LONGEST_NICK] or self.nick
        return []

    def _on_005(self, line: Line) -> list[Effect]:
        for each in line.params[1:-1]:
            key, _, value = each.partition("=")
            if key == "STATUSMSG":
                self._statusmsg = value
            elif key == "CHANTYPES" and value:
                self._chantypes = value
        return []

    def _on_376(self, line: Line) -> list[Effect]:
        if self.joining:
            return []
        self.joining = True
        self._joining = set(self._own - self.joined)
        if not self._joining:
            return self._settled()
        return [*map(_join, self._login.channels), Send(encode("PING", _JOINED))]

    _on_422 = _on_376

    # -- where we are -----------------------------------------------------------------------------

    def _on_join(self, line: Line) -> list[Effect]:
        if not self._is_me(line.nick):
            return []
        channel = folded(line.param(0))
        was_there = channel in self.joined
        if channel in self._joining or len(self.joined) < _MOST_CHANNELS:
            self.joined.add(channel)
        self.refused.pop(channel, None)
        self._joining.discard(channel)
        return self._settled() or self._moved(changed=not was_there)

    def _not_joined(self, line: Line) -> list[Effect]:
        channel = folded(line.param(1))
        before, self.refused[channel] = self.refused.get(channel), line.param(-1)
        self._joining.discard(channel)
        return self._settled() or self._moved(changed=before != line.param(-1))

    def _joins_answered(self) -> list[Effect]:
        """What was neither joined nor refused in words that are known here is not worth the other channels."""
        for channel in self._joining:
            self.refused[channel] = "the server did not say why"
        self._joining.clear()
        return self._settled()

    def _settled(self) -> list[Effect]:
        if self._joining or self.ready or not self.joining:
            return []
        self.ready = True
        return [Ready()]

    def _on_part(self, line: Line) -> list[Effect]:
        return self._left(line.param(0), line.nick, _TAKEN_OUT)

    def _on_kick(self, line: Line) -> list[Effect]:
        return self._left(line.param(0), line.param(1), f"kicked: {line.param(-1)}")

    def _left(self, name: str, nick: str, why: str) -> list[Effect]:
        channel = folded(name)
        if not self._is_me(nick) or channel not in self.joined:
            return []
        self.joined.discard(channel)
        if channel in self._own:  # into another one a server had put us: nobody expects us there
            self.refused[channel] = why
        return self._moved()

    def _on_nick(self, line: Line) -> list[Effect]:
        if self._is_me(line.nick):
            self.nick = line.param(0)[:_LONGEST_NICK] or self.nick
            return self._moved()
        return []

    def _moved(self, *, changed: bool = True) -> list[Effect]:
        return [Moved()] if changed and self.ready else []

    # -- what is said -----------------------------------------------------------------------------

    def _on_privmsg(self, line: Line) -> list[Effect]:
        target, text = line.param(0).lstrip(self._statusmsg), line.param(1)
        if not line.nick or not target or not text:
            return [Strange("empty")]
        to_channel = target[0] in self._chantypes
        if not to_channel and not self._is_me(target):
            return [Strange("to_others")]
        return [Said(line, target, text, to_channel)]

    def _on_notice(self, line: Line) -> list[Effect]:
        # RFC 2812, section 3.3.2: automatic replies must never be sent in response to a NOTICE.
        return [Strange("notice")]

    def _on_ping(self, line: Line) -> list[Effect]:
        return [Send(encode("PONG", line.param(-1)))]

    def _on_pong(self, line: Line) -> list[Effect]:
        if line.param(-1) == _JOINED:
            return self._joins_answered()
        return [Answered(line.param(-1))]

    def _on_error(self, line: Line) -> list[Effect]:
        return [Gone(line.param(-1) or "the server closed the connection")]

    def _is_me(self, nick: str) -> bool:
        return folded(nick) == folded(self.nick)


def _join(channel: str) -> Send:
    name, _, key = channel.partition(" ")
    return Send(encode("JOIN", name, key) if key else encode("JOIN", name))


def _no_sasl() -> Gone:
    # Networks lose SASL while their services restart: worth waiting for, never worth going on unknown.
    return Gone("the server offers no SASL now, and sasl_user is set", 60.0)
