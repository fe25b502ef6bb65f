"""`oclaw rules lsp`: the language server for editors, on standard input and output."""

from __future__ import annotations

from collections.abc import Callable
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

        serving = server(place.vocabulary, place.loader, _reader())
    except ImportError as error:
        raise NotDone('the language server needs pygls: pip install "oclaw[lsp]"') from error
    serving.start_io()


def _reader() -> Callable[[str], dict[str, str]]:
    """Return who reads the rule files of a folder; those that are as they were are not opened again."""
    from gateway.daemon.rulefiles import RuleFiles

    files = RuleFiles()

    def beside(folder: str) -> dict[str, str]:
        try:
            found = files.read(Path(folder), may_lack=True)
        except OSError:  # the editor says that better, of the file that is open
            return {}
        return {name: content.decode("utf-8-sig", "replace") for name, content in found.items()}

    return beside
