"""What serves while the gateway lives: its channels under supervision, the hub on its sockets, the reload.

A channel's adapter is a supervised child; its HTTP side is a row in the table of doors, which a
reload changes under the running hub.
"""

from __future__ import annotations

from functools import partial

import trio
from msgspec.structs import replace

from gateway.api.channels import ChannelsEndpoint, Door, door_to
from gateway.api.control_socket import control_routes
from gateway.api.health import health_routes
from gateway.api.router import Router
from gateway.api.wire import notice_of
from gateway.config.settings import Settings
from gateway.daemon.build import Parts
from gateway.daemon.certificate import tls_files
from gateway.daemon.desk import Desk
from gateway.daemon.doors import Listeners, http_limits
from gateway.daemon.gauges import access, metrics, vitals
from gateway.daemon.reload import Reloader, edited
from gateway.daemon.rpc import Rpc, is_configured
from gateway.daemon.rulebuild import Compiled
from gateway.daemon.rulefiles import FolderLoader
from gateway.daemon.rulereload import Live, RuleReload
from gateway.daemon.stages import Staging
from gateway.daemon.telling import Telling
from gateway.daemon.watching import Places, Watch
from gateway.errors import stays_contained
from gateway.flow.spine import Flow, Ground
from gateway.flow.walk import Stages
from gateway.notices import ChildCrashed, ChildLate
from gateway.pipelines.workers import WorkerPool
from gateway.plugins import PluginTable
from gateway.ports import Channel, Kit
from gateway.supervise import Supervisor
from gateway.supervise.crash import tell
from protocols.hub.events import HubEvent
from protocols.hub.hub import Hub

# A channel gets so long to say that it can serve, or to end; then whoever waits for it goes on without it.
PATIENCE_SECONDS = 2.0


class Serving:
    """Everything alive besides the flow itself. `flow` is set once it is open, `rpc` with the listeners."""

    flow: Flow
    rpc: Rpc
    _endpoint: ChannelsEndpoint

    def __init__(
        self, parts: Parts, plugins: PluginTable, kit: Kit, ground: Ground, tree: Supervisor, telling: Telling
    ) -> None:
        self.parts, self.plugins, self.kit, self.ground = parts, plugins, kit, ground
        self.tree, self.telling = tree, telling
        self.channels: dict[str, Channel] = dict(parts.channels)
        self.doors: dict[str, Door] = {}
        # The doors that a reload has closed and opens again in a moment.
        self.changing: dict[str, Door] = {}
        self.workers = WorkerPool(ground.now)
        self.staging = Staging(
            ground,
            self.channels,
            clear=lambda key: self.flow.outbox.clear(key),
            occupied=lambda key: self.flow.outbox.occupied(key),
            workers=self.workers.asker,
            working=lambda message: self.flow.typist.working(message),
        )
        self.addresses: tuple[str, ...] = ()
        self.state, self.since = "starting", ground.now()
        self._hubs: list[Hub] = []
        self.reloader = Reloader(self)
        self.rules = RuleReload(self._live_rules, self._swap_rules, telling.report, ground.now)
        self._certificate_files = tls_files(parts.settings)
        self.watch = Watch(lambda: self.places(self.parts.settings), self.reloader.rules_changed)

    def first_stages(self) -> Stages:
        """Make the stages of the parts that were built at the start."""
        return self.staging.stages(self.parts)

    async def open(self, nursery: trio.Nursery, listeners: Listeners) -> tuple[str, ...]:
        """Start channels and listeners; returns the addresses once every one of them accepts."""
        self.certificate = listeners.certificate
        for channel in self.parts.channels.values():
            self.attach(channel)
            nursery.start_soon(self._start_channel, channel)
        desk = Desk(self)
        routes = health_routes(partial(vitals, self), metrics(self), access(self.parts.settings))
        self._endpoint = endpoint = ChannelsEndpoint(
            self.doors,
            nursery,
            otherwise=Router(routes, nursery, self.telling.report).dispatch,
            results=self.flow.results,
            now=self.ground.now,
            report=self.telling.report,
            full=self.flow.door.full,
            in_step=self.ground.in_step,
            changing=self.changing,
        )
        control = Router(
            control_routes(desk, self.telling.watchers, masks=self.telling.masks, verbosity=self.telling.verbosity),
            nursery,
            self.telling.report,
        )
        limits = http_limits(self.parts.settings.listen, longer=endpoint.body_bytes)
        self.rpc = Rpc(self, nursery)
        if is_configured(self):
            await self.rpc.load()
        hub = Hub(
            endpoint.dispatch,
            self._hub_event,
            limits=limits,
            h2_entrance=self.rpc.entrance,
            reluctant=self.flow.door.is_crowded,
        )
        self._hubs = [hub, Hub(control.dispatch, self._hub_event)]
        self.addresses = tuple(await nursery.start(hub.serve, listeners.public))
        await nursery.start(self._hubs[1].serve, listeners.control)
        for task in (self.reloader.watch, self.reloader.watch_rules, self.rules.let_go, self.watch.run):
            nursery.start_soon(task)
        self.state, self.since = "ready", self.ground.now()
        self.rpc.tell_health()
        return self.addresses

    def attach(self, channel: Channel) -> None:
        """Let a channel be reached over HTTP and send; `channels` must hold it already."""
        inlet = self.flow.inlet(channel, self._connected)
        self.doors[channel.name] = door_to(channel, inlet)
        self.flow.outbox.attach(channel)

    async def _start_channel(self, channel: Channel) -> None:
        inlet = self.doors[channel.name].inlet
        with trio.move_on_after(PATIENCE_SECONDS) as patience:
            await self.tree.start(channel.name, lambda task_status: channel.run(inlet, task_status=task_status))
        if patience.cancelled_caught:
            self.telling.report(ChildLate(channel.name, "start", PATIENCE_SECONDS))

    async def start_channel(self, channel: Channel) -> None:
        """Attach and run one more channel, or one that replaces another of its name; never raises what it does.

        Returns once it can serve, has failed, or takes longer than it may; then it carries on.
        """
        self.channels[channel.name] = channel
        try:
            self.attach(channel)
        except trio.Cancelled:
            raise
        except BaseException as error:  # a plugin's code; the channels beside it are started all the same
            if not stays_contained(error):
                raise
            self.telling.report(ChildCrashed(channel.name, tell(error), -1.0))
        else:
            await self._start_channel(channel)

    async def stop_channel(self, name: str, *, for_good: bool) -> None:
        """Stop a channel; what waits for it stays in the journal and the outbox. One that does not end is left.

        Unless that is for good it stays known until another takes its place: replies that are made meanwhile need its
        address and its limits.
        """
        self.doors.pop(name, None)
        self.flow.outbox.detach(name)
        with trio.move_on_after(PATIENCE_SECONDS) as patience:
            await self.tree.remove(name)
        if patience.cancelled_caught:
            self.telling.report(ChildLate(name, "stop", PATIENCE_SECONDS))
        if for_good:
            self.channels.pop(name, None)

    def reload_soon(self) -> None:
        """Ask for a reload (SIGHUP); it happens in the reloader's task."""
        self.reloader.ask()

    async def drain(self, seconds: float) -> None:
        """Take nothing more, finish what is in hand within `seconds`; the rest stays in the journal."""
        self.state, self.since = "draining", self.ground.now()
        self.flow.door.close("draining")
        public, control = self._hubs
        public.drain()
        await self.rpc.drain()
        with trio.move_on_after(seconds):
            await public.finished()
            await self.flow.lanes.drained()
            await self.flow.outbox.empty()
            await self.rpc.finished()
            control.drain()
            await control.finished()
        self._endpoint.wait_no_longer()
        with trio.move_on_after(min(2.0, seconds)):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(public.finished)
                nursery.start_soon(self.flow.outbox.drain)
        await self.rpc.end()

    def _live_rules(self) -> Live:
        parts = self.parts
        return Live(parts.settings.rules_dir, parts.ruleset, parts.rule_files)

    def _swap_rules(self, done: Compiled, files: dict[str, bytes]) -> None:
        old = self.parts
        self.parts = replace(old, ruleset=done.ruleset, rule_files=files, rules_done=done)
        assert self.staging.router is not None, "stages were made before anything serves"
        self.staging.router.ruleset = done.ruleset
        self.staging.memory.forget(done.removed, edited(old.rule_files, files))

    def places(self, settings: Settings) -> Places:
        """Say where the files of a configuration are."""
        loader = self.parts.ruleset.loader
        asked = loader.asked if isinstance(loader, FolderLoader) else ()
        named = (*self._certificate_files, *settings.files_read)
        return Places(settings.directory, settings.rules_dir, settings.pipelines_dir, frozenset(tuple(asked)), named)

    def _connected(self, channel: str, state: str, why: str) -> None:
        self.tree.connected(channel, state, why)

    def _hub_event(self, event: HubEvent) -> None:
        self.telling.report(notice_of(event))
