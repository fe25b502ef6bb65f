"""Decide about several things by their ids: what is refused for one does not keep the others from it."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from gateway.cli.control import Control
from gateway.cli.frame import NOT_DONE, UNAVAILABLE, NotDone, complain
from gateway.cli.show import show


def confirm(question: str) -> None:
    """Ask the person at the terminal. Raises `NotDone` when the answer is no, or nobody is there to give one."""
    try:
        agreed = click.confirm(question, err=True)
    except click.Abort:
        click.echo(err=True)
        raise NotDone("nobody answered, and nothing was done; --yes does it without asking") from None
    if not agreed:
        raise NotDone("nothing was done")


def decide(control: Control, section: str, ids: Sequence[str], verb: str, *, as_json: bool) -> None:
    """Ask for `verb` on each and show each answer; exits 1 after the last when one was refused.

    Raises `NotDone` at once when no gateway answers.
    """
    refused = False
    for each in ids:
        try:
            show(control.post(section, each, verb) or {"id": each, "done": verb}, as_json=as_json)
        except NotDone as error:
            if error.code == UNAVAILABLE:
                raise
            complain(error)
            refused = True
    if refused:
        sys.exit(NOT_DONE)
