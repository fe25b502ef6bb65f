"""`oclaw rules lsp`: the language server for editors, on standard input and output."""

from __future__ import annotations

from pathlib import Path

import click

from gateway.cli.frame import NotDone, with_config
from gateway.cli.rules.workplace import Workplace


@click.command("lsp")
@with_config
def command(config: Path) -> None:
    """Serve an editor: diagnostics, completion, hover, definition and format, with this configuration's names."""
    place = Workplace(config)
    place.know_installed()
    try:
        from rules.lsp import server

        serving = server(place.vocabulary, place.loader)
    except ImportError as error:
        raise NotDone('the language server needs pygls: pip install "oclaw[lsp]"') from error
    serving.start_io()
