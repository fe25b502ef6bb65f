"""The sockets the gateway listens on: those systemd passes, else those of [listen]; and the control socket."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from contextlib import suppress
from errno import EADDRINUSE, EADDRNOTAVAIL, EDQUOT, ENFILE, ENOBUFS, ENOMEM, ENOSPC
from math import inf
from pathlib import Path
from socket import EAI_AGAIN

from msgspec import Struct

from gateway.config.address import split_address
from gateway.config.settings import ListenSettings, Settings
from gateway.daemon.certificate import Certificate
from gateway.errors import AddressTaken, SettingError, SettingErrors
from protocols.errors import ListenError
from protocols.http1.limits import HttpLimits
from protocols.transport.listeners import Listener, adopt, open_tcp, open_unix
from protocols.transport.tls import Tls

# sd_listen_fds(3): the first passed descriptor.
FIRST_PASSED = 3
# Another holds it now; at a boot its interface, or who knows the names, comes late; or there is no room for it.
_PASSING = frozenset((EADDRINUSE, EADDRNOTAVAIL, EAI_AGAIN, EDQUOT, ENFILE, ENOBUFS, ENOMEM, ENOSPC))


class Listeners(Struct, frozen=True):
    """The public listeners and what they show, and the control socket's."""

    public: list[Listener]
    control: list[Listener]
    certificate: Certificate


def allow_files() -> None:
    """Let as many sockets and files be open as the system lets us.

    The limit that counts, the soft one, is mostly 1024 outside systemd, for the sake of programs that use select(2):
    fewer than max_connections, so that idle connections would leave none for deliveries.
    """
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with suppress(OSError, ValueError):  # above fs.nr_open, which was lowered since
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def open_listeners(settings: Settings, *, control: Path) -> Listeners:
    """Open all sockets; those that systemd passes stand for the addresses.

    Raises `SettingErrors` naming each address that cannot be had, or `AddressTaken`.
    """
    listen, certificate, passed = settings.listen, Certificate(settings), _passed()
    tls = certificate.tls
    public = adopt(passed, tls=tls) if passed else _tcp(listen, tls)
    beside = settings.directory / listen.unix_socket
    if listen.unix_socket and str(beside) not in [each.socket.getsockname() for each in public]:
        public.append(_unix(beside, "listen.unix_socket", mode=0o660))
    return Listeners(public, [_unix(control, "the control socket")], certificate)


def _tcp(listen: ListenSettings, tls: Tls | None) -> list[Listener]:
    public: list[Listener] = []
    problems: list[SettingError] = []
    taken: list[str] = []
    for index, address in enumerate(listen.addresses):
        host, port = split_address(address) or ("", 0)
        try:
            public += open_tcp(host, port, tls=tls)
        except ListenError as error:
            if _may_pass(error):
                taken.append(f"{error} It is listen.addresses[{index}] in oclaw.toml.")
            else:
                wanted = "an address of this host with a port this user may have"
                problems.append(
                    SettingError(f"listen.addresses[{index}]", found=f'"{address}": {_clause(error)}', wanted=wanted)
                )
    if problems or taken:
        for listener in public:
            listener.socket.close()
        raise SettingErrors(problems) if problems else AddressTaken(" ".join(taken))
    return public


def http_limits(listen: ListenSettings, longer: Callable[[str], int] | None = None) -> HttpLimits:
    """Translate [listen] into the server's bounds; `longer` knows the targets whose platforms send more at once."""
    return HttpLimits(
        head_bytes=listen.max_header_bytes,
        body_bytes=listen.max_body_bytes,
        longer_bodies=longer,
        connections=listen.max_connections,
        connections_per_address=listen.max_connections_per_address,
        head_seconds=listen.header_seconds,
        body_seconds=listen.body_seconds,
        idle_seconds=listen.idle_seconds,
        write_seconds=listen.write_seconds,
        drain_seconds=inf,  # until the drain of the gateway is over, which has its own
    )


def _unix(path: Path, place: str, mode: int = 0o600) -> Listener:
    try:
        return open_unix(path, mode=mode)
    except (OSError, ListenError) as error:
        if isinstance(error, ListenError) and _may_pass(error):
            raise AddressTaken(f"{error} It is {place}.") from error
        wanted = "a path of at most 107 bytes that this user may write"
        raise SettingErrors([SettingError(place, found=f"{path}: {_clause(error)}", wanted=wanted)]) from error


def _clause(error: Exception) -> str:
    """Return a sentence as a part of ours."""
    return str(error).removesuffix(".")


def _may_pass(error: ListenError) -> bool:
    """Say whether time may give it."""
    return isinstance(error.__cause__, OSError) and error.__cause__.errno in _PASSING


def _passed() -> list[int]:
    """Return the descriptors that systemd passed to this very process (sd_listen_fds(3))."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    return list(range(FIRST_PASSED, FIRST_PASSED + int(os.environ.get("LISTEN_FDS", "0"))))
