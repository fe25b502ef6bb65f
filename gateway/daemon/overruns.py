"""Keep a hook that was moved off the event loop there, over a reload that changes nothing about it.

Without this every reload, of anything, would give a hook that blocks the loop its full number of
overruns again. A change of its entry, of a file in hooks/ or of what [flow] says of hooks is a new chance.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.config.settings import FlowSettings, HookEntry
from gateway.daemon.build import Parts
from gateway.flow.hooks import Link


def carry_overruns(old: Parts, new: Parts) -> None:
    """Give the new parts' hooks what the old ones' have on their account."""
    if _terms(old.settings.flow) == _terms(new.settings.flow):
        _carry(old.settings.hooks.inbound, old.inbound, new.settings.hooks.inbound, new.inbound)
        _carry(old.settings.hooks.outbound, old.outbound, new.settings.hooks.outbound, new.outbound)


def _carry(
    entries: Sequence[HookEntry], links: Sequence[Link], new_entries: Sequence[HookEntry], new_links: Sequence[Link]
) -> None:
    known = list(zip(entries, links, strict=True))
    for new_entry, new_link in zip(new_entries, new_links, strict=True):
        for index, (entry, link) in enumerate(known):
            if entry == new_entry:
                new_link.mode, new_link.overruns = link.mode, link.overruns
                del known[index]
                break


def _terms(flow: FlowSettings) -> tuple[object, ...]:
    return flow.hook_overruns, flow.overrunning_hook, flow.hook_deadline_ms
