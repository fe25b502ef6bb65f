"""Read the configuration again while everything runs: build all of it, then swap whole, or keep the old.

One does it at a time, so that two reloads never overlap. A channel whose settings did not change keeps
running untouched; actors and chains are made anew, and messages under way finish with theirs. Rules that
were edited go live by themselves (`rulereload.py`) and touch nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import trio
from msgspec import Struct

from gateway.config.load import load
from gateway.daemon.build import Parts, build
from gateway.daemon.contents import Content
from gateway.daemon.differences import differences, stranded
from gateway.daemon.ground import next_keyring
from gateway.daemon.overruns import carry_overruns
from gateway.daemon.stages import Staged
from gateway.daemon.telling import secrets_of
from gateway.errors import KeyRingError, SettingErrors
from gateway.message.keyring import KeyRing
from gateway.notices import ConfigurationLoaded, ConfigurationRefused
from gateway.plugins import PluginTable
from gateway.supervise.crash import tell
from gateway.telemetry.systemd import READY, notify, reloading

if TYPE_CHECKING:
    from gateway.daemon.serving import Serving


# What systemctl status shows after a reload.
_SERVES, _SERVES_ON = "Serving", "Serving as before: a reload was refused, and the log says why"


class Reloaded(Struct, frozen=True, kw_only=True):
    """What came of one reload."""

    applied: bool
    changes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


class _Round:
    """A reload that is asked for; many may wait for the same one."""

    def __init__(self) -> None:
        self.over = trio.Event()
        self.done = Reloaded(applied=False)


class Reloader:
    """Owns the configuration's generation."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._asked, self._rules_changed = trio.Event(), trio.Event()
        self._round = _Round()
        self._began = serving.parts.settings
        self._once = trio.Lock()
        self.generation = 1
        self.loaded_at = serving.ground.now()
        self.refused, self.refused_at = "", 0.0

    def ask(self) -> None:
        """Reload soon, without waiting for it."""
        self._asked.set()

    async def watch(self) -> None:
        """Reload whenever it is asked for; runs for ever."""
        while True:
            await self._asked.wait()
            self._asked = trio.Event()
            this, self._round = self._round, _Round()
            async with self._once:
                notify(reloading())
                this.done = await self._reload()
                notify(READY, f"STATUS={_SERVES if this.done.applied else _SERVES_ON}")
            this.over.set()

    async def reload(self) -> Reloaded:
        """Validate everything, swap whole, say exactly what changed; keep the old on any problem.

        It happens in the task of `watch`: a caller that goes away leaves it whole.
        """
        self.ask()
        this = self._round
        await this.over.wait()
        return this.done

    def rules_changed(self) -> None:
        """Look at the rule files soon."""
        self._rules_changed.set()

    async def watch_rules(self) -> None:
        """Put edited rules in force whenever their files changed; runs for ever."""
        while True:
            await self._rules_changed.wait()
            self._rules_changed = trio.Event()
            async with self._once:
                await self._serving.rules.look()

    async def _reload(self) -> Reloaded:
        serving = self._serving
        try:
            parts, keyring, certificate, sight = await trio.to_thread.run_sync(self._built)
        except SettingErrors as wrong:
            return self._refused(str(wrong), tuple(str(problem) for problem in wrong.problems))
        except KeyRingError as error:
            return self._refused(str(error), (str(error),))
        except Exception as error:  # unforeseen, in a library or in an operator's code: what serves goes on
            why = f"the configuration cannot be built: {tell(error)}"
            return self._refused(why, (why,))
        code = serving.watch.differing("hooks/", sight)
        if not code:
            carry_overruns(serving.parts, parts)
        kept = self._kept(parts)
        try:
            staged = await self._staged(parts, kept)
            renewed = certificate()
        except Exception as error:  # unforeseen, too; nothing that serves was touched
            why = f"the configuration cannot be put in force: {tell(error)}"
            return self._refused(why, (why,))
        again = sorted(name for name in parts.channels if name not in kept and _unchanged(serving.parts, parts, name))
        left = stranded(serving.flow.outbox.depths(), parts.channels)
        changes = (
            *differences(serving.parts, parts, self._began),
            *(f"{name} changed" for name in (*code, *serving.watch.edited(parts.settings.files_read, sight))),
            *(f"channel {name} started again" for name in again),
            *left,
            *self._renew(keyring),
            *renewed,
        )
        self._tell_as(parts)
        old_files = serving.parts.rule_files
        await self._swap(parts, staged, kept)
        self._note_rules(parts, old_files)
        serving.watch.loaded(sight)
        self.generation, self.loaded_at = self.generation + 1, serving.ground.now()
        self.refused, self.refused_at = "", 0.0
        serving.telling.report(
            ConfigurationLoaded("configuration", "; ".join(changes) or "no setting, rule, pipeline or hook changed")
        )
        return Reloaded(applied=True, changes=changes)

    def _refused(self, why: str, problems: tuple[str, ...]) -> Reloaded:
        self.refused, self.refused_at = why, self._serving.ground.now()
        self._serving.telling.report(ConfigurationRefused("configuration", why))
        return Reloaded(applied=False, problems=problems)

    def _built(self) -> tuple[Parts, KeyRing, Callable[[], tuple[str, ...]], Content]:
        serving = self._serving
        # What seals is read where it was at the start, wherever the next start will look for it.
        keyring = next_keyring(Path(serving.kit.state_dir), serving.ground.sealer.keyring)
        directory = serving.parts.settings.directory
        plugins = PluginTable(directory / "hooks")
        before = serving.watch.sight()
        settings = load(directory, plugins, os.environ)
        # It may name other files than the one before; those it has read itself are taken as they were before that.
        now = serving.watch.sight(serving.places(settings))
        sight = {name: before.get(name, content) for name, content in now.items()}
        parts = build(settings, plugins, serving.kit, serving.parts)
        return parts, keyring, serving.certificate.again(settings), sight

    def _renew(self, keyring: KeyRing) -> tuple[str, ...]:
        sealer = self._serving.ground.sealer
        before, after = sealer.keyring.active, keyring.active
        sealer.renew(keyring)
        return (f"records are sealed with key {after.id:08x}",) if after != before else ()

    def _tell_as(self, parts: Parts) -> None:
        telling, gateway = self._serving.telling, parts.settings.gateway
        telling.verbosity.change(gateway.log_level, texts=gateway.log_content)
        telling.masks.add(*secrets_of(parts.settings))
        telling.book.expect(parts.channels)

    def _note_rules(self, parts: Parts, old_files: dict[str, bytes]) -> None:
        done, rules = parts.rules_done, self._serving.rules
        if done is not None and (done.changes or rules.state.refused or parts.rule_files != old_files):
            rules.took(done)
            self._serving.staging.memory.forget(done.removed, edited(old_files, parts.rule_files))

    def _kept(self, parts: Parts) -> set[str]:
        """Name the channels that go on as they are; one that was given up is tried again."""
        serving = self._serving
        failed = {child.name for child in serving.tree.children() if child.state == "failed"}
        return {name for name in parts.channels if _unchanged(serving.parts, parts, name) and name not in failed}

    async def _staged(self, parts: Parts, kept: set[str]) -> Staged:
        """Do everything of a swap that may fail."""
        serving = self._serving
        await serving.flow.outbox.disabled.load([name for name in parts.channels if name not in kept])
        parts.channels.update({name: serving.channels[name] for name in kept})
        return serving.staging.build(parts)

    async def _swap(self, parts: Parts, staged: Staged, kept: set[str]) -> None:
        serving = self._serving
        replaced = {name for name in parts.channels if name not in kept}
        serving.changing.update({name: door for name, door in serving.doors.items() if name in replaced})
        async with trio.open_nursery() as nursery:
            for name in [name for name in serving.channels if name not in kept]:
                nursery.start_soon(partial(serving.stop_channel, name, for_good=name not in parts.channels))
        # No checkpoint here: one message sees one configuration.
        before, router = serving.parts.ruleset, serving.staging.router
        serving.parts = parts
        serving.flow.walker.stages = serving.staging.take(staged)
        serving.rules.retire(before, parts.ruleset, router)
        del before, router
        async with trio.open_nursery() as nursery:
            for name, channel in parts.channels.items():
                if name not in kept:
                    nursery.start_soon(serving.start_channel, channel)
        serving.changing.clear()


def edited(old: Mapping[str, bytes], new: Mapping[str, bytes]) -> tuple[str, ...]:
    """Name the rule files whose content is another."""
    return tuple(name for name in {*old, *new} if old.get(name) != new.get(name))


def _unchanged(old: Parts, new: Parts, name: str) -> bool:
    return name in old.channels and old.settings.channels.get(name) == new.settings.channels.get(name)
