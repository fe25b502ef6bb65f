"""`oclaw call`: one gRPC call to the gateway, or to any server with reflection, typed as JSON.

What methods there are and what their messages look like is asked of the server itself.
"""

from __future__ import annotations

import json
import os
import ssl
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from gateway.cli.frame import UNAVAILABLE, NotDone, readable, standard_input, with_config, with_json
from gateway.cli.show import json_text
from gateway.plainfile import read_plain_text

DEFAULT_ADDRESS = "127.0.0.1:8420"


@click.command("call")
@click.argument("method", required=False)
@click.argument("request", required=False, metavar="[JSON]")
@click.option("--at", "address", default="", help="HOST:PORT or unix:PATH; without it the first one of [listen].")
@click.option(
    "--token", default="", metavar="env:NAME", help="Where a bearer token is kept: env:NAME, or file:PATH in DIR."
)
@click.option("--tls", is_flag=True, help="Use TLS; the default where [listen] has a certificate.")
@click.option("--ca", type=click.Path(path_type=Path), help="Trust the certificates in this PEM file; means --tls.")
@click.option(
    "--certificate",
    type=click.Path(path_type=Path),
    help="Show this certificate and key (PEM) to a server that asks.",
)
@click.option("--seconds", type=click.FloatRange(0.001), default=30.0, show_default=True, help="The call's deadline.")
@with_config
@with_json
def command(
    method: str | None,
    request: str | None,
    address: str,
    token: str,
    tls: bool,
    ca: Path | None,
    certificate: Path | None,
    seconds: float,
    config: Path,
    as_json: bool,
) -> None:
    """Call METHOD, such as oclaw.v1.Gateway/Send, with a message as JSON ("-": standard input).

    Prints every reply. A list of messages goes to methods that take a stream; a span of time is text, such as "5s".
    Without METHOD: lists what there is.
    """
    import trio

    listen = {} if address else _listen(config)
    address = address or str((listen.get("addresses") or [DEFAULT_ADDRESS])[0])
    context = _tls(ca, certificate) if tls or ca or certificate or listen.get("tls_certificate") else None
    text = standard_input() if request == "-" else request
    secret = _token(token, config)

    async def run() -> None:
        from gateway.cli.calling import calling

        async with calling(address, context, seconds) as caller:
            if not method:
                _show_methods(await caller.methods(), as_json=as_json)
                return
            await caller.call(method, _messages(text), secret, show)

    def show(reply: dict[str, Any]) -> None:
        click.echo(json_text(reply, indent=None if as_json else 2))

    trio.run(run)


def _show_methods(methods: list[str], *, as_json: bool) -> None:
    click.echo(json_text(methods) if as_json else readable("\n".join(methods)))


def _messages(text: str | None) -> list[dict[str, Any]]:
    try:
        read = json.loads(text or "{}")
    except ValueError as error:
        raise NotDone(f"the request is not JSON: {error}") from error
    several = read if isinstance(read, list) else [read]
    if not all(isinstance(each, dict) for each in several):
        raise NotDone("the request must be a JSON object, or a list of objects for a method that takes a stream")
    return several


def _listen(config: Path) -> dict[str, Any]:
    try:
        section = tomllib.loads(read_plain_text(config / "oclaw.toml")).get("listen", {})
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise NotDone(f"{config / 'oclaw.toml'} cannot be read ({error}); name the server with --at") from error
    return section if isinstance(section, dict) else {}


def _tls(ca: Path | None, certificate: Path | None) -> ssl.SSLContext:
    from protocols.http2.tls import client_tls

    try:
        return client_tls(authorities=ca, certificate=certificate)
    except (OSError, ssl.SSLError) as error:
        files = " or ".join(str(file) for file in (ca, certificate) if file is not None)
        raise NotDone(f"{files} is no PEM file of certificates ({error})", UNAVAILABLE) from error


def _token(source: str, config: Path) -> str:
    if not source:
        return ""
    from gateway.config.secret import HOW, SecretStore

    if not source.startswith(("env:", "file:", "credential:")):
        seen = "a token written out can be read in the list of processes"
        raise click.BadParameter(f"{seen}; it must be {HOW}.", param_hint="--token")
    return SecretStore(config, os.environ).read(source, "--token").reveal()


def nearest(wanted: str, known: list[str]) -> Iterator[str]:
    """Give the known methods that a mistyped or shortened one may stand for."""
    from difflib import get_close_matches

    tail = wanted.lower().strip("/")
    ending = [name for name in known if name.lower().endswith(("/" + tail, "." + tail))]
    yield from ending or get_close_matches(wanted, known, 1, 0.5)
