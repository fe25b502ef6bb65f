"""`oclaw completion SHELL`: a script that teaches the shell oclaw's commands and options."""

from __future__ import annotations

import click


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print a completion script. For bash: oclaw completion bash > ~/.local/share/bash-completion/completions/oclaw"""
    from click.shell_completion import get_completion_class

    from gateway.cli.frame import oclaw

    completer = get_completion_class(shell)
    assert completer is not None, "click knows every shell of the choice above"
    click.echo(completer(oclaw, {}, "oclaw", "_OCLAW_COMPLETE").source())
