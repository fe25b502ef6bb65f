"""Every setting of oclaw.toml that is the gateway's own, typed, with its default.

What a channel, hook or provider can be told stands in its own file and arrives through the
plugin table; here it is the opaque `settings` of an entry. Units are in the names. The
commented reference is conf/oclaw.toml, and a test fails when a setting is missing there.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from gateway.config.address import overlap, split_address
from gateway.config.secret import Secret
from gateway.errors import SettingError, SettingErrors

Positive = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(gt=0)]
Bytes = Annotated[int, Meta(ge=1024)]
Word = Annotated[str, Meta(min_length=1)]


def known_zone(name: str) -> bool:
    """Return whether this machine knows the time zone."""
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        return False
    return True


class GatewaySettings(Struct, frozen=True, kw_only=True):
    """[gateway]: where it keeps its state, what it promises, how it logs."""

    state_dir: str = ""
    default_pipeline: str = ""
    deadline_ms: Annotated[int, Meta(ge=1, le=60_000)] = 200
    drain_seconds: Annotated[float, Meta(ge=0, le=3600)] = 20.0
    time_zone: Word = "UTC"
    log_format: Literal["auto", "json", "pretty"] = "auto"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_content: bool = False

    def __post_init__(self) -> None:
        if not known_zone(self.time_zone):
            wanted = 'the name of a time zone, such as "Europe/London"'
            raise SettingError("time_zone", found=f'"{self.time_zone}"', wanted=wanted)


class ListenSettings(Struct, frozen=True, kw_only=True):
    """[listen]: the one port for HTTP, WebSocket and gRPC, and what a peer may cost."""

    addresses: tuple[Word, ...] = ("127.0.0.1:8420",)
    unix_socket: str = ""
    tls_certificate: str = ""
    tls_key: str = ""
    tls_client_authorities: str = ""
    max_connections: Positive = 4096
    max_connections_per_address: Positive = 512
    max_header_bytes: Bytes = 16_384
    max_body_bytes: Bytes = 1_048_576
    header_seconds: Seconds = 10.0
    body_seconds: Seconds = 30.0
    idle_seconds: Seconds = 75.0
    metrics_from: tuple[Word, ...] = ()
    write_seconds: Seconds = 30.0

    def __post_init__(self) -> None:
        problems = []
        for index, address in enumerate(self.addresses):
            if split_address(address) is None:
                wanted = 'an address and a port, such as "127.0.0.1:8420" or "[::1]:8420"'
                problems.append(SettingError(f"addresses[{index}]", found=f'"{address}"', wanted=wanted))
            elif (other := next((each for each in self.addresses[:index] if overlap(each, address)), "")) != "":
                wanted = f'left out, or of another port: "{other}" is there already'
                problems.append(SettingError(f"addresses[{index}]", found=f'"{address}"', wanted=wanted))
        for index, network in enumerate(self.metrics_from):
            try:
                ip_network(network, strict=False)
            except ValueError:
                wanted = 'a network, such as "10.0.0.0/8"'
                problems.append(SettingError(f"metrics_from[{index}]", found=f'"{network}"', wanted=wanted))
        if bool(self.tls_certificate) != bool(self.tls_key):
            lacking = "tls_key" if self.tls_certificate else "tls_certificate"
            problems.append(SettingError(lacking, found="missing", wanted="set too: certificate and key go together"))
        if self.tls_client_authorities and not self.tls_certificate:
            wanted = "set too: clients are asked for certificates over TLS"
            problems.append(SettingError("tls_certificate", found="missing", wanted=wanted))
        if problems:
            raise SettingErrors(problems)


class JournalSettings(Struct, frozen=True, kw_only=True):
    """[journal]: how long records are kept, and how many dead letters of a kind."""

    retention_days: Annotated[float, Meta(gt=0)] = 7.0
    dead_retention_days: Annotated[float, Meta(gt=0)] = 30.0
    max_dead_letters: Positive = 100_000


class FlowSettings(Struct, frozen=True, kw_only=True):
    """[flow]: the walk of a message through hooks, rules and pipelines."""

    max_waiting: Positive = 20_000
    max_waiting_per_conversation: Positive = 200
    poison_attempts: Positive = 3
    in_groups: Literal["mentioned", "always"] = "mentioned"
    hook_deadline_ms: Annotated[int, Meta(ge=1, le=60_000)] = 50
    hook_overruns: Positive = 3
    overrunning_hook: Literal["slow", "quarantine"] = "slow"


class DeliverySettings(Struct, frozen=True, kw_only=True):
    """[delivery]: how replies are tried, tried again, and given up."""

    attempts: Positive = 20
    attempt_seconds: Seconds = 20.0
    first_backoff_seconds: Seconds = 1.0
    max_backoff_seconds: Seconds = 900.0
    expiry_hours: Annotated[float, Meta(gt=0)] = 24.0
    max_waiting: Positive = 50_000

    def __post_init__(self) -> None:
        if self.max_backoff_seconds < self.first_backoff_seconds:
            wanted = "at least first_backoff_seconds"
            raise SettingError("max_backoff_seconds", found=f"{self.max_backoff_seconds:g}", wanted=wanted)


class FolderSettings(Struct, frozen=True, kw_only=True):
    """[rules] and [pipelines]: the folder, relative to oclaw.toml, whose files are read."""

    dir: Word


class AccessSettings(Struct, frozen=True, kw_only=True):
    """[access]: tokens of programs that speak for no channel; `workers` by the name that pipelines use."""

    models: dict[str, Secret] = {}
    workers: dict[str, Secret] = {}


class ChannelEntry(Struct, frozen=True, kw_only=True):
    """[channels.NAME]: one account on one platform. `settings` is the type's own struct."""

    name: str
    type: Word
    enabled: bool = True
    settings: Any = None  # the `Settings` of gateway/channels/<type>.py, which this package must not import


class HookEntry(Struct, frozen=True, kw_only=True):
    """One hook of a chain. `only` names channels (empty: all); `deadline_ms` 0 stands for flow.hook_deadline_ms."""

    use: Word
    policy: Literal["reject", "skip", "hold"] = "reject"
    deadline_ms: Annotated[int, Meta(ge=0, le=60_000)] = 0
    mode: Literal["loop", "slow", "isolated"] = "loop"
    only: tuple[Word, ...] = ()
    tell: str = ""
    settings: Any = None  # the `Settings` of a built-in or installed hook; None for a function of the operator's


class HookChains(Struct, frozen=True, kw_only=True):
    """[[hooks.inbound]] and [[hooks.outbound]], in the order they run."""

    inbound: tuple[HookEntry, ...] = ()
    outbound: tuple[HookEntry, ...] = ()


class ModelEntry(Struct, frozen=True, kw_only=True):
    """[models.NAME]: a name pipelines use, and who serves it. `tasks` are the tasks it is the default for."""

    name: str
    provider: Word
    tasks: tuple[Word, ...] = ()
    settings: Any = None  # the `Settings` of the provider


class Settings(Struct, frozen=True, kw_only=True):
    """The whole configuration, checked. `directory` is the folder oclaw.toml was read from."""

    directory: Path
    state_dir: Path
    gateway: GatewaySettings = GatewaySettings()
    listen: ListenSettings = ListenSettings()
    journal: JournalSettings = JournalSettings()
    flow: FlowSettings = FlowSettings()
    delivery: DeliverySettings = DeliverySettings()
    access: AccessSettings = AccessSettings()
    channels: dict[str, ChannelEntry] = {}
    hooks: HookChains = HookChains()
    models: dict[str, ModelEntry] = {}
    pipelines: FolderSettings = FolderSettings(dir="pipelines.d")
    rules: FolderSettings = FolderSettings(dir="rules.d")

    @property
    def files_read(self) -> tuple[Path, ...]:
        """The files that models and hooks read when they are built: their `Settings` name the fields in `FILES`."""
        entries: Iterable[ModelEntry | HookEntry] = (*self.models.values(), *self.hooks.inbound, *self.hooks.outbound)
        fields = [(entry.settings, field) for entry in entries for field in getattr(entry.settings, "FILES", ())]
        names = [getattr(settings, field) for settings, field in fields]
        return tuple(self.directory / name for name in dict.fromkeys(names) if name)

    @property
    def rules_dir(self) -> Path:
        """The folder of *.rules files."""
        return self.directory / self.rules.dir

    @property
    def pipelines_dir(self) -> Path:
        """The folder of *.yaml pipelines."""
        return self.directory / self.pipelines.dir
