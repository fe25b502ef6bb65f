"""Try every channel against its platform, all at once, each under a deadline of its own."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial

import trio

from gateway.channels.shared.errors import ConnectionLost
from gateway.config.settings import Settings
from gateway.daemon.build import build
from gateway.errors import in_words, lone, stays_contained
from gateway.plugins import PluginTable
from gateway.ports import Channel, Finding, Kit
from protocols.errors import HttpClientError
from protocols.http_client.client import HttpClient

Tell = Callable[[str, Finding], None]
# A platform that takes longer to say hello is a finding of its own.
CHANNEL_SECONDS = 20.0


async def try_channels(settings: Settings, plugins: PluginTable, tell: Tell, only: str = "") -> None:
    """Tell the findings of each channel, or of one, under its name as they come. Raises `SettingErrors`."""
    async with HttpClient() as http, trio.open_nursery() as nursery:
        kit = Kit(
            report=lambda notice: None,
            now=time.time,
            random=os.urandom,
            http=http,
            config_dir=str(settings.directory),
            state_dir=str(settings.state_dir),
        )
        channels = build(settings, plugins, kit).channels
        if only and only not in channels:
            wanted = ", ".join(sorted(channels)) or "none"
            tell(f"channels.{only}", Finding(ok=False, what="not switched on here", way_out=f"There are: {wanted}."))
        for channel in [each for each in channels.values() if only in ("", each.name)]:
            nursery.start_soon(_try, channel, partial(tell, f"channels.{channel.name}"))


async def _try(channel: Channel, tell: Callable[[Finding], None]) -> None:
    doctor = getattr(channel, "doctor", None)
    if doctor is None:
        tell(Finding(ok=True, what=f"{channel.platform} calls the gateway; there is nothing to try"))
        return
    try:
        with trio.fail_after(CHANNEL_SECONDS):
            await doctor(tell)
    except trio.Cancelled:
        raise
    except BaseException as raised:  # a third party's code, which may call `sys.exit()`; the others are still tried
        if not stays_contained(raised):
            raise
        tell(_failed(channel, lone(raised)))


def _failed(channel: Channel, error: BaseException) -> Finding:
    match error:
        case trio.TooSlowError():
            what = f"{channel.platform} did not answer within {CHANNEL_SECONDS:g} s"
            return Finding(ok=False, what=what, way_out="Look at the network, DNS and a proxy in between.")
        case HttpClientError() | ConnectionLost():
            way_out = "Look at its address here, and whether it runs there."
            return Finding(ok=False, what=str(error), way_out=way_out)
        case _:
            return Finding(ok=False, what=f"trying it failed with {in_words(error)}")
