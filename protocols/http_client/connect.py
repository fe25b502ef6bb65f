"""Open a connection to an origin: resolve, vet every address, connect to exactly a vetted one.

Every failure here is a NothingSent: no byte of a request has left.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

import trio

from protocols.errors import AddressRefused, NothingSent
from protocols.http_client.limits import ClientLimits
from protocols.transport.pipes import Pipe, PlainPipe, TlsPipe
from protocols.urls import Url

Address = IPv4Address | IPv6Address
# Takes the host as named and one address it stands for; returns why not, or None.
AddressVet = Callable[[str, Address], str | None]


def refuse_private(host: str, address: Address) -> str | None:
    """Allow only addresses of the public Internet: a vet against requests forged into our own network."""
    mapped = getattr(address, "ipv4_mapped", None) or address
    if mapped.is_global and not mapped.is_multicast:
        return None
    return f"{host} is {address}, which is not a public address"


class Connector:
    """Opens pipes for one client: its trust, its vet, its resolver threads."""

    __slots__ = ("_limiter", "_limits", "_tls", "_unix_path", "_vet")

    def __init__(
        self, limits: ClientLimits, tls: ssl.SSLContext | None, vet: AddressVet | None, unix_path: Path | None
    ) -> None:
        self._limits = limits
        self._limiter = trio.CapacityLimiter(limits.resolver_threads)
        self._tls = tls
        self._vet = vet
        self._unix_path = unix_path

    async def open(self, url: Url) -> Pipe:
        """Return a connected pipe, its TLS handshake done. Raises NothingSent."""
        if self._unix_path is not None:
            return PlainPipe(await self._connect(socket.AF_UNIX, os.fspath(self._unix_path)))
        sock = await self._connect_any(url)
        if not url.secure:
            return PlainPipe(sock)
        try:
            return await self._secure(sock, url)
        except BaseException:
            sock.close()
            raise

    async def _connect_any(self, url: Url) -> socket.socket:
        last = "it has no address"
        for family, address in await self._addresses(url):
            try:
                with trio.move_on_after(self._limits.connect_seconds):
                    return await self._connect(family, address)
                last = f"no answer within {self._limits.connect_seconds:g} s"
            except NothingSent as error:
                last = str(error)
        raise NothingSent(f"Cannot connect to {url.host}:{url.port}: {last}")

    async def _addresses(self, url: Url) -> list[tuple[int, object]]:
        found = await self._resolve(url)
        allowed: list[tuple[int, object]] = []
        why: str | None = None
        for family, sockaddr in found:
            refused = None if self._vet is None else self._vet(url.host, ip_address(sockaddr[0].partition("%")[0]))
            why = why or refused
            if refused is None:
                allowed.append((family, sockaddr))
        if why is not None and not allowed:
            raise AddressRefused(f"The request was not sent: {why}.")
        return allowed

    async def _resolve(self, url: Url) -> list[tuple[int, tuple[str, int]]]:
        try:
            address = ip_address(url.host)
        except ValueError:
            pass
        else:
            family = socket.AF_INET if address.version == 4 else socket.AF_INET6
            return [(family, (url.host, url.port))]
        try:
            found = await trio.to_thread.run_sync(
                lambda: socket.getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM),
                abandon_on_cancel=True,
                limiter=self._limiter,
            )
        except (OSError, UnicodeError) as error:
            raise NothingSent(f"The name {url.host} does not resolve.") from error
        return [(entry[0], entry[4]) for entry in found]  # type: ignore[misc]

    async def _connect(self, family: int, address: object) -> socket.socket:
        try:
            sock = socket.socket(family, socket.SOCK_STREAM)
        except OSError as error:  # no descriptor is left, or this machine has no such family
            raise NothingSent(f"No socket can be opened: {error}") from error
        try:
            sock.settimeout(0.0)
            if family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            code = sock.connect_ex(address)  # type: ignore[arg-type]
            if code == errno.EINPROGRESS:
                await trio.lowlevel.wait_writable(sock)
                code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                raise NothingSent(os.strerror(code))
        except OSError as error:
            sock.close()
            raise NothingSent(str(error)) from error
        except BaseException:
            sock.close()
            raise
        return sock

    async def _secure(self, sock: socket.socket, url: Url) -> Pipe:
        if self._tls is None:
            from protocols.transport.tls import client_context

            self._tls = client_context()
        pipe = TlsPipe(sock, self._tls, server_hostname=url.host)
        try:
            pipe.start()
            while not pipe.established or pipe.unsent:
                if pipe.unsent:
                    await trio.lowlevel.wait_writable(sock)
                    pipe.flush()
                else:
                    await trio.lowlevel.wait_readable(sock)
                    pipe.receive()
        except ssl.SSLCertVerificationError as error:
            raise NothingSent(f"{url.host} has a certificate we cannot trust: {error.verify_message}.") from error
        except OSError as error:
            raise NothingSent(f"The TLS handshake with {url.host} failed: {error}.") from error
        return pipe
