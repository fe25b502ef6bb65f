"""What a reload changes, by name, and which settings only the next start takes.

Most of what is read once stands in something that holds connections, files or messages under way: listeners,
the journal, the outbox, admission.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from gateway.config.settings import Settings
from gateway.daemon.build import Parts


class Section(Struct, frozen=True):
    """The settings of a section of oclaw.toml: those in force after a reload, and those that are read at the start."""

    now: tuple[str, ...] = ()
    later: tuple[str, ...] = ()


# Each setting stands here once; channels, models, pipelines and rule files are compared one by one, whole.
SECTIONS = {
    "gateway": Section(
        now=("default_pipeline", "drain_seconds", "time_zone", "log_level", "log_content"),
        later=("state_dir", "deadline_ms", "log_format"),
    ),
    "listen": Section(
        later=(
            "addresses",
            "unix_socket",
            "tls_certificate",
            "tls_key",
            "tls_client_authorities",
            "max_connections",
            "max_connections_per_address",
            "max_header_bytes",
            "max_body_bytes",
            "header_seconds",
            "body_seconds",
            "idle_seconds",
            "metrics_from",
            "write_seconds",
        )
    ),
    "journal": Section(later=("retention_days", "dead_retention_days", "max_dead_letters")),
    "flow": Section(
        now=("in_groups", "hook_deadline_ms", "hook_overruns", "overrunning_hook"),
        later=("max_waiting", "max_waiting_per_conversation", "poison_attempts"),
    ),
    "delivery": Section(
        later=(
            "attempts",
            "attempt_seconds",
            "first_backoff_seconds",
            "max_backoff_seconds",
            "expiry_hours",
            "max_waiting",
        )
    ),
    "access": Section(now=("models", "workers")),
    "hooks": Section(now=("inbound", "outbound")),
    "pipelines": Section(now=("dir",)),
    "rules": Section(now=("dir",)),
}


def differences(old: Parts, new: Parts, began: Settings) -> tuple[str, ...]:
    """Say what a new configuration changes; until the next start, name the late settings that differ from `began`."""
    changes = _named(old, new)
    for section, settings in SECTIONS.items():
        taken = _differing(section, settings.now, old.settings, new.settings)
        changes += [f"[{section}] {name} changed" for name in taken]
        waiting = _differing(section, settings.later, began, new.settings)
        changes += [f"[{section}] {name} takes effect at the next start" for name in waiting]
    return tuple(changes)


def stranded(depths: Mapping[str, int], channels: Iterable[str]) -> tuple[str, ...]:
    """Say for which channels replies wait that are none of `channels`: renamed, removed or switched off."""
    gone = {name: waiting for name, waiting in depths.items() if waiting and name not in channels}
    return tuple(
        f"replies wait for channel {name}, which is not there: {count}" for name, count in sorted(gone.items())
    )


def _named(old: Parts, new: Parts) -> list[str]:
    pairs = (
        ("channel", old.settings.channels, new.settings.channels),
        ("model", old.settings.models, new.settings.models),
        ("pipeline", old.pipelines, new.pipelines),
        ("rule file", old.rule_files, new.rule_files),
    )
    changes = []
    for what, before, after in pairs:
        changes += [f"{what} {name} added" for name in after if name not in before]
        changes += [f"{what} {name} removed" for name in before if name not in after]
        both = [(name, before[name], after[name]) for name in after if name in before]
        changes += [f"{what} {name} {_way(one, other)}" for name, one, other in both if one != other]
    return changes + list(new.rules_done.changes if new.rules_done is not None else ())


def _way(before: object, after: object) -> str:
    # What names a secret reads the same, here as in oclaw.toml, while the secret has another value.
    same = isinstance(after, Struct) and repr(before) == repr(after)
    return "has another secret" if same else "changed"


def _differing(section: str, names: tuple[str, ...], old: Settings, new: Settings) -> list[str]:
    before, after = getattr(old, section), getattr(new, section)
    return [name for name in names if getattr(before, name) != getattr(after, name)]
