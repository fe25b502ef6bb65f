"""`oclaw send`: a message from the terminal, which takes the same walk as any other."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from gateway.cli.control import Control
from gateway.cli.frame import NOT_DONE, standard_input, with_config, with_json
from gateway.cli.show import show


@click.command("send")
@click.argument("content")
@click.option("--channel", required=True, help="The configured channel it is taken to come from.")
@click.option("--conversation", default="oclaw-send", show_default=True, help="The conversation it belongs to.")
@click.option("--sender", default="operator", show_default=True, help="Who it is from.")
@click.option(
    "--wait", "wait_seconds", type=click.FloatRange(0, 600), default=10.0, show_default=True, metavar="SECONDS"
)
@with_config
@with_json
def command(
    content: str, channel: str, conversation: str, sender: str, wait_seconds: float, config: Path, as_json: bool
) -> None:
    """Inject CONTENT ("-": standard input) as a message, and show the replies.

    A reply that has not arrived (nobody is connected there, the destination is down) is told with who it is for and
    until when it waits; it goes out by itself, so this is no failure.
    """
    answer = Control(config).post(
        "send",
        body={
            "channel": channel,
            "conversation": conversation,
            "sender": sender,
            "content": standard_input() if content == "-" else content,
            "wait_seconds": wait_seconds,
        },
        wait_seconds=wait_seconds,
    )
    show(answer, as_json=as_json)
    if isinstance(answer, dict) and answer.get("state") in ("rejected", "dead"):
        sys.exit(NOT_DONE)
