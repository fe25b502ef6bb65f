"""Put what the rules decided into one plan, action by action.

An action that cannot be done (an argument the message lacks, a field that must not be written, an installed
action that raises) is left out, and `Undone` says why; the others count.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import trio
from msgspec import Struct

from gateway.errors import in_words, stays_contained
from gateway.flow.actions import ActionCall, InstalledAction
from gateway.message.envelope import Envelope
from gateway.message.message import nfc
from rules import Action, FieldRef

Admit = Callable[[Action], bool]
# What an installed action may return for one call.
MOST_DONE = 16


class Undone(Struct, frozen=True):
    """An action that was left out, and why."""

    action: Action
    why: str


class PlanDraft:
    """Collects the parts of a plan; `over` when an action ended it at once (a rate that is exceeded).

    `lasting` says that the plan would be the same for every message with this decision: no rate was asked, no
    installed action, and nothing was left undone that each message must tell of.
    """

    __slots__ = ("_admit", "_envelope", "_installed", "_names", "_now", "lasting", "over", "parts", "undone")

    def __init__(
        self,
        envelope: Envelope,
        now: float,
        admit: Admit,
        installed: Mapping[str, InstalledAction],
        names: Mapping[str, frozenset[str]],
    ) -> None:
        self._envelope, self._now, self._admit, self._installed, self._names = envelope, now, admit, installed, names
        self.parts: dict[str, Any] = {"tags": (), "forwards": (), "sets": ()}
        self.over, self.lasting = False, True
        self.undone: list[Undone] = []

    def add(self, action: Action) -> None:
        """Take one action in. Never raises."""
        try:
            why = self._add(action)
        except (KeyError, TypeError, ValueError, OverflowError) as error:  # arguments of an installed action's making
            why = f"its arguments do not fit: {in_words(error)}"
        if why:
            self.undone.append(Undone(action, why))
            self.lasting = False

    def _add(self, action: Action) -> str:
        parts, args, rule = self.parts, action.args, action.rule.name
        match action.name:
            case "route_to":
                return self._named("pipelines", args["pipeline"]) or self._goes(
                    "pipeline", rule, pipeline=args["pipeline"]
                )
            case "reply":
                return self._goes("reply", rule, text=_text(args["text"]))
            case "reject":
                return self._goes("reject", rule, why=_text(args["reason"]), tell=_text(args.get("tell")))
            case "drop" | "hold":
                return self._goes(action.name, rule, why=_text(args["reason"]))
            case "delay":
                return self._delay(args["duration"], rule)
            case "forward":
                parts["forwards"] += ((args["channel"], _text(args.get("to"))),)
                return self._named("channels", args["channel"], undo="forwards")
            case "tag":
                parts["tags"] += tuple([str(name) for name in args["names"] if name is not None])
            case "set":
                return self._set(args["field"], args["value"])
            case "priority":
                parts["priority"] = int(args["n"])
            case "deadline":
                parts["deadline_seconds"] = float(args["duration"])
            case "use_model":
                parts["model"] = args["model"]
                return self._named("models", args["model"], undo="model")
            case "throttle":
                self.lasting = False
                if not self._admit(action):
                    parts.update({"kind": "reject", "why": "throttled", "tell": "", "by": rule})
                    self.over = True
            case _:
                return self._do_installed(action)
        return ""

    def _goes(self, kind: str, rule: str, **more: Any) -> str:
        """Set the one way the message goes; a delay that was decided before stays the first thing to happen."""
        if self.parts.get("kind") != "delay" or kind in ("reject", "drop", "hold"):
            self.parts |= {"kind": kind, "by": rule, **more}
        return ""

    def _delay(self, seconds: float, rule: str) -> str:
        if self.parts.get("kind") in ("reject", "drop", "hold"):
            return ""
        why = f"delayed {seconds:g} s"
        self.parts |= {"kind": "delay", "delay_seconds": float(seconds), "why": why, "by": rule}
        return ""

    def _named(self, kind: str, name: str, undo: str = "") -> str:
        if name in self._names.get(kind, ()):
            return ""
        if undo == "forwards":
            self.parts["forwards"] = self.parts["forwards"][:-1]
        elif undo:
            del self.parts[undo]
        return f'there is no "{name}" among the {kind}'

    def _set(self, reference: FieldRef, value: Any) -> str:
        if reference.field == "message.metadata" and reference.keys:
            self.parts["sets"] += ((reference.keys, value),)
            return ""
        if reference.field in ("message.content", "input"):
            if not isinstance(value, str):
                return f"{reference.field} is text, and {value!r} is none"
            self.parts["content"] = nfc(value)
            return ""
        return f"{reference.field} says where a message came from and stays; set writes message.metadata.* and content"

    def _do_installed(self, action: Action) -> str:
        self.lasting = False
        installed = self._installed.get(action.name)
        if installed is None:
            return "no installed package brings it any more"
        call = ActionCall(
            args=action.args, per=action.per, message=self._envelope.message, now=self._now, rule=action.rule.name
        )
        try:
            done = list(installed.apply(call))
        except trio.Cancelled:
            raise
        except BaseException as error:  # somebody else's code; contained to this action
            if not stays_contained(error):
                raise
            return in_words(error)
        for do in done[:MOST_DONE]:
            if do.action in self._installed:
                return f"it asks for {do.action}, which is no action of the gateway's own"
            self.add(Action(do.action, do.args, action.rule, action.per))
        return f"it asks for more than {MOST_DONE} actions" if len(done) > MOST_DONE else ""


def _text(value: Any) -> str:
    return "" if value is None else str(value)
