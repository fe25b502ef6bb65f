"""Open the sockets a server listens on: TCP, Unix, or handed over by a supervisor.

Everything is opened before the first client is served, so that a port in use is one clear
error at the start.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
from pathlib import Path

import msgspec

from protocols.errors import ListenError
from protocols.transport.tls import Tls

# The kernel caps it at net.core.somaxconn (4096 on Linux): room for a burst while we compute.
BACKLOG = 4096


class Listener(msgspec.Struct, frozen=True):
    """One listening socket, with what it shows when it speaks TLS."""

    socket: socket.socket
    tls: Tls | None = None

    @property
    def address(self) -> str:
        """The address as an operator would write it: `127.0.0.1:8420`, `[::1]:8420` or a path."""
        name = self.socket.getsockname()
        if self.socket.family == socket.AF_UNIX:
            return os.fsdecode(name)
        host, port = name[0], name[1]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def port(self) -> int:
        """The TCP port, 0 for a Unix socket."""
        return 0 if self.socket.family == socket.AF_UNIX else int(self.socket.getsockname()[1])


_WAYS_OUT = {
    errno.EADDRINUSE: " Choose another port or stop what holds it.",
    errno.EADDRNOTAVAIL: " None of this host's interfaces has that address now.",
    errno.EACCES: " Choose a port above 1023, or let systemd open it.",
}


def open_tcp(host: str, port: int, *, tls: Tls | None = None) -> list[Listener]:
    """Listen on every address `host` stands for (a number costs no DNS). Raises ListenError."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:  # the second for a name that cannot be one, such as "a..b"
        now = " now" if isinstance(error, OSError) and error.errno == socket.EAI_AGAIN else ""
        raise ListenError(f"Cannot listen on {host}:{port}: the host name does not resolve{now}.") from error
    listeners = []
    try:
        for family, _, _, _, address in dict.fromkeys(found):
            listeners.append(Listener(_bound_tcp(family, address), tls))
    except OSError as error:
        for listener in listeners:
            listener.socket.close()
        way_out = _WAYS_OUT.get(error.errno or 0, "")
        raise ListenError(f"Cannot listen on {host}:{port}: {error.strerror}.{way_out}") from error
    return listeners


def open_unix(path: Path, *, mode: int = 0o600) -> Listener:
    """Listen on a Unix socket, replacing one that nobody serves any more. Raises ListenError."""
    _remove_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # The mode must hold from the first moment: between bind and chmod anybody could connect.
    before = os.umask(0o777 & ~mode)
    try:
        sock.bind(os.fspath(path))
    except OSError as error:
        sock.close()
        raise ListenError(f"Cannot listen on {path}: {error.strerror or error}.") from error
    finally:
        os.umask(before)
    sock.listen(BACKLOG)
    sock.settimeout(0.0)
    return Listener(sock)


def adopt(descriptors: list[int], *, tls: Tls | None = None) -> list[Listener]:
    """Take over listening sockets that a supervisor opened (systemd passes them from 3 on).

    TLS applies to the TCP sockets among them. Raises ListenError for one that does not listen.
    """
    listeners = []
    for descriptor in descriptors:
        sock = socket.socket(fileno=descriptor)
        if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise ListenError(f"Descriptor {descriptor} is not a listening socket; use ListenStream=.")
        sock.settimeout(0.0)
        # What the daemon starts must not inherit the port.
        fcntl.fcntl(descriptor, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
        listeners.append(Listener(sock, None if sock.family == socket.AF_UNIX else tls))
    return listeners


def _bound_tcp(family: int, address: object) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)  # type: ignore[arg-type]
        sock.listen(BACKLOG)
        sock.settimeout(0.0)
    except OSError:
        sock.close()
        raise
    return sock


def _remove_stale(path: Path) -> None:
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise ListenError(f"Cannot listen on {path}: a file that is not a socket is there.")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(0.0)
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except PermissionError as error:
            raise ListenError(f"Cannot listen on {path}: the socket there is another user's; remove it.") from error
        except OSError:
            pass
    taken = OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    raise ListenError(f"Cannot listen on {path}: another process serves it.") from taken
