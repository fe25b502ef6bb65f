"""What comes in, whichever way: a payload of a known kind becomes a message, or is counted and left.

`Entrance` knows who we are and keeps the loop guard. Called from HTTP and from the sockets alike, so that an event
means the same on both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from gateway.channels.shared.loops import LoopGuard
from gateway.channels.slack_events import Account, NotForUs, message_of, own_user
from gateway.channels.slack_fields import text
from gateway.channels.slack_forms import command_of, interaction_of
from gateway.message.message import Message
from gateway.notices import EventIgnored, Report, UnknownEvent


class Entrance:
    """One account's way in. `known` tells it who we are, as soon as Slack has said so."""

    def __init__(self, account: Account, guard: LoopGuard, report: Report) -> None:
        self.account, self._guard, self._report = account, guard, report

    def known(self, *, user: str, bot: str, shown_as: str) -> None:
        """Take note of the bot's ids; its own words are dropped by them."""
        self.account = replace(self.account, user=user, bot=bot, shown_as=shown_as)
        self._guard.own_ids |= {own for own in (user, bot) if own}

    def event(self, payload: Mapping[str, Any]) -> tuple[Message, ...]:
        """Take an `event_callback`."""
        self._learn(payload)
        return self._let_in(message_of(payload, self.account))

    def command(self, form: Mapping[str, Any]) -> tuple[Message, ...]:
        """Take a slash command."""
        return self._let_in(command_of(form, self.account))

    def interaction(self, payload: Mapping[str, Any]) -> tuple[Message, ...]:
        """Take a click, a shortcut, a submitted view."""
        return self._let_in(interaction_of(payload, self.account))

    def other(self, kind: str) -> tuple[Message, ...]:
        """Count what no message can be made of."""
        self._report(UnknownEvent(self.account.name, kind[:80]))
        return ()

    def _learn(self, payload: Mapping[str, Any]) -> None:
        """Until Slack was asked, what an event says about its recipients has to do."""
        app = text(payload, "api_app_id")
        if app and not self.account.app:
            self.account = replace(self.account, app=app)
        if not self.account.user and (user := own_user(payload)):
            self.known(user=user, bot=self.account.bot, shown_as=self.account.shown_as)

    def _let_in(self, made: Message | NotForUs) -> tuple[Message, ...]:
        if isinstance(made, NotForUs):
            if made.known:
                self._report(EventIgnored(self.account.name, made.kind))
                return ()
            return self.other(made.kind)
        objection = self._guard.objection(made)
        if objection:
            self._report(EventIgnored(self.account.name, objection))
            return ()
        return (made,)
