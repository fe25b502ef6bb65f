"""`oclaw rules explain`: why a message goes where it goes, condition by condition with the values they saw."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.control import Control
from gateway.cli.frame import UNAVAILABLE, NotDone, readable, standard_input, with_config, with_json
from gateway.cli.rules.workplace import Workplace, with_edited
from gateway.cli.show import show

if TYPE_CHECKING:
    from msgspec import Struct

    from gateway.message.envelope import Envelope


@click.command("explain")
@click.argument("target", metavar="FILE|-|JSON|ID")
@click.option("--at", metavar="TIME", help="The moment, as 2026-03-02T09:00:00Z; now, or when the message came in.")
@with_edited
@with_config
@with_json
def command(target: str, at: str | None, edited: tuple[Path, ...], config: Path, as_json: bool) -> None:
    """Explain the decision on a message: JSON, in FILE or on standard input (-), or the ID of a journaled one.

    A journaled message is explained by the rules of the running gateway, or by the files when none runs or --with
    names edited ones.
    """
    moment = _moment(at)
    if target == "-" or _is_json(target) or Path(target).is_file():
        answer = _by_files(_written(target, moment), None, moment or time.time(), config, edited)
    elif edited or at:
        answer = _journaled(target, moment, config, edited)
    else:
        try:
            answer = Control(config).get("rules", "explain", target)
        except NotDone as error:
            if error.code != UNAVAILABLE:
                raise
            answer = _journaled(target, moment, config, edited)
    if as_json:
        show(answer, as_json=True)
    else:
        click.echo(readable(_readable(answer)))


def _is_json(target: str) -> bool:
    return target.lstrip().startswith("{")


def _journaled(target: str, moment: float, config: Path, edited: tuple[Path, ...]) -> Any:
    from gateway.cli.rules.journaled import one

    found = one(config, target)
    return _by_files(found.envelope, found.story, moment or found.envelope.received_at, config, edited)


def _by_files(envelope: Envelope, story: Any, moment: float, config: Path, edited: tuple[Path, ...]) -> Any:
    import msgspec

    from gateway.daemon.ruledesk import explained

    return msgspec.to_builtins(explained(envelope, story, Workplace(config, edited).ruleset(), moment))


def _written(target: str, moment: float) -> Envelope:
    """Read a message as JSON, with the names that rules use; `{"message": {…}}` is as good."""
    import msgspec

    from gateway.message.envelope import Envelope
    from gateway.message.message import Conversation, Message, Sender

    given = _is_json(target)
    text = standard_input() if target == "-" else target if given else Path(target).read_bytes()
    try:
        raw = msgspec.json.decode(text)
        raw = raw.get("message", raw) if isinstance(raw, dict) else raw
        message = msgspec.convert(raw, Message)
        _no_others(raw, Message)
        _no_others(raw.get("sender", {}), Sender)
        _no_others(raw.get("conversation", {}), Conversation)
    except (ValueError, RecursionError) as error:
        place = "standard input" if target == "-" else "what was given" if given else target
        example = '{"channel": "desk", "content": "hello", "sender": {"id": "ann"}}'
        raise NotDone(f"{place} is no message: {error}. One is {example}") from error
    return Envelope(id="", message=message, received_at=moment or time.time(), deadline=0.0)


def _no_others(given: dict[str, Any], shape: type[Struct]) -> None:
    """Raise a `ValueError` for a field that no message has: a rule would see nothing of it."""
    from gateway.config.describe import similar

    known = shape.__struct_encode_fields__
    for name in given:
        if name not in known:
            meant = similar(name, known)
            raise ValueError(f'a {shape.__name__.lower()} has no field "{name}"' + (f" ({meant})" if meant else ""))


def _moment(at: str | None) -> float:
    if not at:
        return 0.0
    try:
        return datetime.fromisoformat(at).timestamp()
    except ValueError as error:
        raise NotDone(f'"{at}" is no moment; write it as 2026-03-02T09:00:00Z') from error


def _readable(answer: Any) -> str:
    lines = [answer["text"]]
    if answer["note"]:
        lines.append(f"note: {answer['note']}")
    if answer["then_actions"] and answer["then_actions"] != answer["actions"]:
        lines.append(f"on its walk the decision was another: {', '.join(answer['then_actions'])}")
    return "\n".join(lines)
