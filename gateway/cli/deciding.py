"""Decide about several things by their ids: what is refused for one does not keep the others from it."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from gateway.cli.control import Control
from gateway.cli.frame import NOT_DONE, UNAVAILABLE, NotDone, complain
from gateway.cli.show import show


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
