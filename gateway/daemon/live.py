"""The gateway's life: open everything, be ready, serve until told to stop, drain, close.

What is opened here is closed here, in the opposite order, by the blocks themselves.
"""

from __future__ import annotations

import gc
import os
import time
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import trio

from gateway.config import paths
from gateway.config.settings import Settings
from gateway.daemon import doors
from gateway.daemon.build import Parts, build
from gateway.daemon.caution import careful
from gateway.daemon.ending import ending_in_time
from gateway.daemon.gauges import Pulse
from gateway.daemon.ground import ground, open_sealer, prepare_state
from gateway.daemon.serving import Serving
from gateway.daemon.signals import Stop, watch_signals
from gateway.daemon.starting import taken_up
from gateway.daemon.sweeping import sweep_daily
from gateway.daemon.telling import Telling
from gateway.errors import SettingError, SettingErrors, stays_contained
from gateway.flow.spine import open_flow
from gateway.journal import FILE_NAME, Retention, open_journal
from gateway.media.store import SealedFiles
from gateway.message.seal import Sealer
from gateway.notices import GatewayDraining, GatewayReady, GatewayStopped, RequestFailed
from gateway.plugins import PluginTable
from gateway.ports import Kit
from gateway.supervise import open_supervisor
from gateway.supervise.crash import tell
from gateway.telemetry.stall import StallDetector
from gateway.telemetry.systemd import READY, STOPPING, feed_watchdog, notify
from protocols.http_client.client import HttpClient
from protocols.transport.watch import Watch, open_watch

# A message leaves no cycles; a young collection every 700 objects, the default, would run at every third message.
GC_THRESHOLDS = (20_000, 20, 50)
MEDIA = "media"


async def live(settings: Settings, plugins: PluginTable, telling: Telling) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code. Raises `SettingErrors` and `JournalError` at start."""
    began = time.monotonic()
    doors.allow_files()
    media = SealedFiles(settings.state_dir / MEDIA)
    async with (
        open_watch(partial(_step_failed, telling)) as watch,
        HttpClient(failed=partial(_answer_failed, telling)) as http,
        trio.open_nursery() as answers,
    ):
        await answers.start(http.listen)
        kit = Kit(
            report=telling.report,
            now=time.time,
            random=os.urandom,
            http=http,
            config_dir=str(settings.directory),
            state_dir=str(settings.state_dir),
            media=media,
        )
        parts = build(settings, plugins, kit)
        prepare_state(settings.state_dir)
        sealer = open_sealer(settings.state_dir)
        media.unlock(sealer)
        code = await _with_journal(parts, plugins, kit, telling, sealer, media, watch, began)
        answers.cancel_scope.cancel()
    return code


async def _with_journal(
    parts: Parts,
    plugins: PluginTable,
    kit: Kit,
    telling: Telling,
    sealer: Sealer,
    media: SealedFiles,
    watch: Watch,
    began: float,
) -> int:
    settings = parts.settings
    keeping = open_journal(settings.state_dir / FILE_NAME, report=telling.report, retention=_retention(settings))
    async with keeping as journal, AsyncExitStack() as opened:
        ending = opened.enter_context(ending_in_time(telling.report))
        tree = await opened.enter_async_context(open_supervisor(telling.report, time.time))
        # Before anything is walked: a start that a taken port ends comes again, and would ask models every time.
        listeners = doors.open_listeners(settings, control=_control_socket(settings))
        standing = ground(settings, journal, sealer, telling.report, watch.in_step)
        serving = Serving(parts, plugins, kit, standing, tree, telling)
        async with (
            open_flow(standing, serving.channels, serving.first_stages()) as flow,
            careful(settings.state_dir, flow.door, flow.lanes) as caution,
            trio.open_nursery() as nursery,
        ):
            serving.flow = flow
            stop = Stop()
            await nursery.start(watch_signals, stop, serving.reload_soon)
            notify("STATUS=Taking up what was left")
            take_up = partial(flow.recovery.at_start, serving.channels, caution.blamed)
            if serves := await taken_up(take_up, journal, stop):
                caution.counted = True
                _ready(await serving.open(nursery, listeners), telling, began)
                nursery.start_soon(feed_watchdog, Pulse(journal).alive)
                nursery.start_soon(telling.lag.watch)
                nursery.start_soon(sweep_daily, media, journal, sealer, _keep_days(settings), telling.report)
            why = await stop.asked()
            caution.acquit()
            telling.report(GatewayDraining(why))
            notify(STOPPING, "STATUS=Draining")
            if serves:
                await serving.drain(serving.parts.settings.gateway.drain_seconds)
            ending.begins(tree)
            left = (flow.lanes.total, flow.outbox.pending)
            nursery.cancel_scope.cancel()
        telling.report(GatewayStopped(*left))
    return 0


def _ready(addresses: tuple[str, ...], telling: Telling, began: float) -> None:
    telling.report(GatewayReady(", ".join(addresses), time.monotonic() - began))
    # What is loaded now stays for years; collections need not look at it again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    # From here on: nobody waits for the steps of the start, and no operator can mend them.
    trio.lowlevel.add_instrument(StallDetector(telling.report))
    notify(READY, f"STATUS=Serving on {', '.join(addresses)}")


def _answer_failed(telling: Telling, error: Exception) -> None:
    telling.report(RequestFailed("the answer to a request of ours", tell(error)))


def _step_failed(telling: Telling, error: BaseException) -> None:
    """Tell of a bug of ours; without memory a message would be left standing, and only the next start takes it up."""
    if isinstance(error, MemoryError) or not stays_contained(error):
        raise error
    telling.report(RequestFailed("a step of a message", tell(error)))


def _control_socket(settings: Settings) -> Path:
    path = paths.control_socket(settings.directory, os.environ)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        strange = not paths.is_ours(path.parent, os.environ)
    except OSError as error:
        strange, why = True, f"cannot be made ({error.strerror})"
    else:
        why = "belongs to somebody else, or others may write there"
    if strange:
        found, hint = f"{path.parent}, which {why}", "Set RUNTIME_DIRECTORY to one, here and for every other command."
        raise SettingErrors([SettingError("the control socket's folder", found=found, wanted="our own", hint=hint)])
    return path


def _keep_days(settings: Settings) -> float:
    return max(settings.journal.retention_days, settings.journal.dead_retention_days)


def _retention(settings: Settings) -> Retention:
    kept = settings.journal
    return Retention(kept.retention_days, kept.dead_retention_days, kept.max_dead_letters)
