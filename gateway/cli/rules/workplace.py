"""What the commands work on: the rule files of a configuration folder, edited ones in their place, and its names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gateway.cli.frame import WRONG_CONFIGURATION, NotDone, readable
from gateway.plainfile import read_plain, read_plain_text

if TYPE_CHECKING:
    from gateway.daemon.rulefiles import FolderLoader
    from rules import Problem, Rejected, Ruleset, Vocabulary

Function = TypeVar("Function", bound=Callable[..., Any])
CASES = ".cases"


def with_edited(function: Function) -> Function:
    """Add --with PATH; the command gets `edited`."""
    return click.option(
        "--with",
        "edited",
        metavar="PATH",
        multiple=True,
        type=click.Path(exists=True, path_type=Path),
        help="An edited file in the place of the one of its name, or a folder in the place of all. Again for more.",
    )(function)


class Workplace:
    """Rule files and what they may speak of. Raises `NotDone` when they cannot be read."""

    def __init__(self, config: Path, edited: tuple[Path, ...] = ()) -> None:
        from gateway.cli.faults import by_name
        from gateway.daemon.rulefiles import FolderLoader

        self.config, self.settings = config, by_name(config)
        folders = [path for path in edited if path.is_dir()]
        self.folder = folders[-1] if folders else self.settings.rules_dir
        self.files = self._read(edited)
        self.loader: FolderLoader = FolderLoader(self.folder, self.settings.gateway.time_zone)
        self.pipelines = {path.stem for path in self.settings.pipelines_dir.glob("*.y*ml")}
        self.vocabulary = self._vocabulary(())

    def load(self) -> Ruleset | Rejected:
        """Compile the files, with the actions of installed packages where they are needed."""
        from rules import Rejected, load

        made = load(self.files, self.vocabulary, self.loader)
        if isinstance(made, Rejected) and self.know_installed():
            made = load(self.files, self.vocabulary, self.loader)
        return made

    def know_installed(self) -> bool:
        """Add the actions of installed packages to the vocabulary; False when there are none."""
        from gateway.plugins import PluginTable

        installed = PluginTable(self.config / "hooks").names("actions")
        if installed:
            self.vocabulary = self._vocabulary(installed)
        return bool(installed)

    def ruleset(self) -> Ruleset:
        """Return the compiled files; when they are wrong, print every problem and raise `NotDone`, code 78."""
        from rules import Rejected

        made = self.load()
        if isinstance(made, Rejected):
            click.echo(readable(made.render()), err=True)
            raise NotDone(f"{counted(len(made.problems), 'problem')} in {self.folder}", WRONG_CONFIGURATION)
        return made

    def cases(self) -> dict[str, str]:
        """Return the files of TEST blocks alone that stand beside the rules."""
        found = sorted(path for path in self.folder.glob(f"*{CASES}") if not path.name.startswith("."))
        return {path.name: _text(path) for path in found}

    def _read(self, edited: tuple[Path, ...]) -> dict[str, bytes]:
        from gateway.daemon.rulefiles import read_rules

        try:
            files = read_rules(self.folder)
            files |= {path.name: read_plain(path) for path in edited if not path.is_dir()}
        except OSError as error:
            raise NotDone(f"{error.filename or self.folder} cannot be read: {error.strerror}") from error
        return dict(sorted(files.items()))

    def _vocabulary(self, installed: Iterable[str]) -> Vocabulary:
        from gateway.daemon.rulebuild import words_of
        from gateway.plugins import PluginTable

        table = PluginTable(self.config / "hooks")
        actions = {name: table.find("actions", name) for name in installed}
        return words_of(self.settings, self.pipelines, self.settings.models, actions)


def _text(path: Path) -> str:
    try:
        return read_plain_text(path)
    except UnicodeDecodeError as error:
        raise NotDone(f"{path} is not UTF-8: byte 0x{error.object[error.start]:02X} at offset {error.start}") from error
    except OSError as error:
        raise NotDone(f"{path} cannot be read: {error.strerror}") from error


def counted(number: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def problems_as_rows(problems: tuple[Problem, ...]) -> list[dict[str, Any]]:
    """Return problems as JSON has them."""
    return [
        {"file": one.file, "line": one.line, "column": one.column, "problem": one.message, "hint": one.hint}
        for one in problems
    ]


def failures(ruleset: Ruleset, cases: dict[str, str]) -> Iterator[tuple[str, int, str, tuple[str, ...]]]:
    """Yield every TEST that fails or passes as (file, line, name, failures); raises `NotDone` for one that is wrong."""
    from rules import Rejected, run_tests

    outcomes = run_tests(ruleset, cases)
    if isinstance(outcomes, Rejected):
        click.echo(readable(outcomes.render()), err=True)
        raise NotDone(f"{counted(len(outcomes.problems), 'problem')} in TEST blocks", WRONG_CONFIGURATION)
    for one in outcomes:
        yield one.file, one.line, one.name, one.failures
