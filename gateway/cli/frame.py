"""What every command shares: lazy loading, --config and --json, errors as sentences, exit codes.

A command is one file with a click command named `command`; `COMMANDS` says where, and what
`oclaw --help` shows, so that help imports none of them.

Exit codes: 0 done, 1 not done, 2 wrong usage, 69 no gateway is running (EX_UNAVAILABLE),
75 `oclaw run` cannot go on now (EX_TEMPFAIL), 78 the configuration is wrong, or the state needs a person (EX_CONFIG).
"""

from __future__ import annotations

import errno
import importlib
import os
import re
import sys
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Any, TextIO, TypeVar

import click

from gateway.errors import OclawError, SettingError, SettingErrors

NOT_DONE, UNAVAILABLE, WRONG_CONFIGURATION = 1, 69, 78
# What a full or failing disk says to a write, which names no file.
_UNWRITTEN = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO))

COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("gateway.cli.init", "Scaffold a working configuration."),
    "run": ("gateway.cli.run", "Run the gateway in the foreground."),
    "check": ("gateway.cli.check", "Say everything that is wrong with the configuration, rules and pipelines."),
    "send": ("gateway.cli.send", "Inject a message and show what becomes of it."),
    "call": ("gateway.cli.call", "Make one gRPC call, typed as JSON."),
    "tail": ("gateway.cli.tail", "Watch what happens, live."),
    "status": ("gateway.cli.status", "Show the health of a running gateway."),
    "trace": ("gateway.cli.trace", "Show one message's whole life."),
    "dead": ("gateway.cli.dead", "List, show, retry and drop dead letters."),
    "held": ("gateway.cli.held", "List, show, release and drop messages that a rule or hook holds."),
    "disabled": ("gateway.cli.disabled", "List and enable addresses that asked never to be sent to again."),
    "rules": ("gateway.cli.rules", "Check, format, test, explain, replay, lint and measure rules."),
    "reload": ("gateway.cli.reload", "Read rules, pipelines and configuration again."),
    "journal": ("gateway.cli.journal", "Sum up, check, export, compact and back up the journal."),
    "keys": ("gateway.cli.keys", "List, make and rotate the keys that seal the journal."),
    "channels": ("gateway.cli.channels", "List channel types, or begin a package with a new one."),
    "doctor": ("gateway.cli.doctor", "Try machine, state directory, port and channels."),
    "bench": ("gateway.cli.bench", "Measure what the gateway does on this machine."),
    "verify": ("gateway.cli.verify", "Kill a scratch gateway under load and account for every message."),
    "completion": ("gateway.cli.completion", "Print a shell completion script."),
}

_UNCUT = 1000  # characters: more than any sentence has
Function = TypeVar("Function", bound=Callable[..., Any])


class NotDone(OclawError):
    """A command cannot do what was asked; `code` is the exit code."""

    def __init__(self, sentence: str, code: int = NOT_DONE) -> None:
        self.code = code
        super().__init__(sentence)


def standard_input() -> str:
    """Return what comes on standard input, whole. Raises `NotDone` when it cannot be read, or UnicodeDecodeError."""
    stream: TextIO | None = sys.stdin  # None in a process that was started with it closed
    try:
        given = None if stream is None else stream.buffer.read()
    except OSError:  # nohup puts one that can only be written in the place of a terminal
        given = None
    if given is None:
        raise NotDone('"-" is standard input, which is closed here: pipe something in, or give it in place of "-".')
    return given.decode("utf-8-sig")


class Commands(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table, which is that of a newcomer's first hour."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(COMMANDS[cmd_name][0]).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that was typed, or name the nearest one."""
        # While a shell completes nobody reads a complaint.
        judged = args and not ctx.resilient_parsing
        if judged and args[0] not in COMMANDS and not args[0].startswith("-"):
            from gateway.config.describe import similar

            ctx.fail(f'There is no command "{args[0]}". {similar(args[0], COMMANDS)}'.strip())
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what it raises on purpose becomes a sentence on stderr and an exit code."""
        if isinstance(sys.stdout, TextIOWrapper):  # a terminal of another encoding than UTF-8 shows the rest escaped
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            folder = _meant_folder(error)
            if not folder:
                raise
            raise click.UsageError(f"{error.message}. Did you mean --config {folder}?", error.ctx) from None
        except OclawError as error:
            sys.exit(complain(error))
        except UnicodeError:  # an argument or a file of other bytes; our own texts are all UTF-8
            sys.exit(complain(NotDone("what was given is not text in UTF-8")))
        except BrokenPipeError:  # `oclaw tail | head`
            _let_go_of_output()
            sys.exit(NOT_DONE)
        except OSError as error:  # mostly files of another user: the gateway's state is its own
            if error.errno in _UNWRITTEN and error.filename is None:
                _let_go_of_output()
                sys.exit(complain(NotDone(f"not everything could be written: {error.strerror}")))
            if not isinstance(error.filename, str):
                raise
            whose = ". Are you the gateway's user?" if isinstance(error, PermissionError) else ""
            sys.exit(complain(NotDone(f"{error.filename}: {error.strerror}{whose}")))
        except BaseExceptionGroup as group:  # Ctrl-C out of a nursery; click knows it plain
            if group.subgroup(KeyboardInterrupt) is None:
                raise
            raise KeyboardInterrupt from None


class Family(click.Group):
    """A command of several; its help lists each with its whole first sentence, which click would cut at one line."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands."""
        listed = [(name, self.commands[name].get_short_help_str(_UNCUT)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(listed)


def _meant_folder(error: click.UsageError) -> str:
    """Return the folder of an oclaw.toml that was given as an argument, as `oclaw init` takes it, or ''."""
    extra = re.fullmatch(r"Got unexpected extra argument \((.+)\)", error.message)
    try:
        return extra[1] if extra and (Path(extra[1]) / "oclaw.toml").is_file() else ""
    except OSError:  # nobody may look there, or it is too long for a name
        return ""


def _let_go_of_output() -> None:
    """Point stdout elsewhere, so that what could not be written is not tried again, and told again, at the exit."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def version_text() -> str:
    """Return the installed version; a checkout that is not installed says so."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("oclaw")
    except PackageNotFoundError:
        return "from a checkout"


def _show_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        click.echo(f"oclaw {version_text()}")
        ctx.exit()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show it.")
def oclaw() -> None:
    """A self-hosted message gateway for AI agents."""


def with_config(function: Function) -> Function:
    """Add --config DIR; the command gets `config`, the folder of oclaw.toml."""
    return click.option(
        "--config",
        metavar="DIR",
        type=click.Path(path_type=Path),
        envvar="OCLAW_CONFIG",
        default=_usual_config,
        callback=_folder,
        help="The folder of oclaw.toml [$OCLAW_CONFIG, else this folder, else /etc/oclaw].",
    )(function)


def with_json(function: Function) -> Function:
    """Add --json; the command gets `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")(function)


def complain(error: OclawError) -> int:
    """Print an error for the person who must act, and return the exit code it stands for."""
    if isinstance(error, SettingErrors):
        click.echo(f"oclaw: {readable(error.listed())}", err=True)
        return WRONG_CONFIGURATION
    click.echo(f"oclaw: {readable(str(error))}", err=True)
    if isinstance(error, SettingError):
        return WRONG_CONFIGURATION
    return error.code if isinstance(error, NotDone) else NOT_DONE


def readable(text: str) -> str:
    """Return a text without what would steer the terminal: it may quote what a stranger wrote. Line breaks stay.

    A tab becomes a blank: carets under a line of a file are put by its characters.
    """
    text = text.replace("\t", " ")
    return "".join(c if c in "\n\u200c\u200d" or unicodedata.category(c)[0] != "C" else "\ufffd" for c in text)


def _folder(_: click.Context, __: click.Parameter, given: Path) -> Path:
    """Take the path of oclaw.toml for that of its folder: that is how most programs want it."""
    return given.parent if given.name == "oclaw.toml" and not given.is_dir() else given


def _usual_config() -> Path:
    here = Path()
    return (
        Path("/etc/oclaw") if not (here / "oclaw.toml").is_file() and Path("/etc/oclaw/oclaw.toml").is_file() else here
    )
