"""`oclaw rules fmt`: one layout for rule files. Meaning and comments stay; formatting twice changes nothing more."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from gateway.cli.frame import NOT_DONE, WRONG_CONFIGURATION, NotDone, readable, with_config, with_json
from gateway.cli.rules.workplace import counted
from gateway.cli.show import show
from gateway.plainfile import read_plain


@click.command("fmt")
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--check", "only_check", is_flag=True, help="Change nothing; exit 1 when a file would change.")
@with_config
@with_json
def command(files: tuple[Path, ...], only_check: bool, config: Path, as_json: bool) -> None:
    """Write FILES, or all rule files, in their one layout. A file with a syntax error is left alone: exit 78."""
    paths = list(files) or _all(config)
    changed, wrong = [], []
    for path in paths:
        found = _formatted(path)
        if isinstance(found, str):
            wrong.append(found)
        elif found is not None:
            changed.append(str(path))
            if not only_check:
                _replace(path, found)
    show_changes(changed, len(paths), only_check=only_check, as_json=as_json)
    if wrong:
        click.echo(readable("\n".join(wrong)), err=True)
        raise NotDone(f"{counted(len(wrong), 'file')} cannot be formatted", WRONG_CONFIGURATION)
    if changed and only_check:
        sys.exit(NOT_DONE)


def show_changes(changed: list[str], total: int, *, only_check: bool, as_json: bool) -> None:
    """Say which files changed, or would."""
    if as_json:
        show({"changed": changed, "files": total}, as_json=True)
        return
    for path in changed:
        click.echo(f"{'would format' if only_check else 'formatted'} {path}")
    if not changed:
        click.echo(f"{counted(total, 'file')}, all in their layout")


def _all(config: Path) -> list[Path]:
    from gateway.cli.faults import by_name
    from gateway.daemon.rulefiles import rule_paths

    folder = by_name(config).rules_dir
    try:
        return rule_paths(folder)
    except OSError as error:
        raise NotDone(f"{folder} cannot be read: {error.strerror}") from error


def _formatted(path: Path) -> bytes | str | None:
    """Return the other layout, None when it has it already, or what is wrong as a text."""
    from rules import format_text

    try:
        before = read_plain(path)
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}"
    try:
        text = before.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return f"{path}: this file is not UTF-8: byte 0x{before[error.start]:02X} at offset {error.start}"
    made = format_text(text, str(path))
    if not isinstance(made, str):
        return made.render()
    after = made.encode()
    return None if after == before else after


def _replace(path: Path, content: bytes) -> None:
    """Put the whole file in place at once: the gateway, or a power cut, never meets half of it.

    Where a link leads elsewhere it is kept, and the file stays its owner's: one of root's the gateway could not read.
    """
    path = path.resolve()
    fresh, stat = path.with_name(f".{path.name}.oclaw"), path.stat()
    try:
        fresh.write_bytes(content)
        if os.geteuid() == 0:  # nobody else may give a file away
            os.chown(fresh, stat.st_uid, stat.st_gid)
        fresh.chmod(stat.st_mode & 0o7777)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
