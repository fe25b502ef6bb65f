"""What probes and Prometheus read of the running gateway, at the moment they ask."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from math import inf
from typing import TYPE_CHECKING

import trio
from msgspec.structs import replace

from gateway.api.control import FailingDestination
from gateway.api.health import Vitals
from gateway.api.peers import Access
from gateway.config.settings import Settings
from gateway.daemon.ruledesk import rule_count, series
from gateway.notices import DeliveryDeferred
from gateway.pipelines.workers import Standing
from gateway.ports import Journal
from gateway.records import Accept, Outcome
from gateway.supervise import ChildState
from gateway.telemetry.lines import Masks, record_of
from gateway.telemetry.metrics import Gauge, Metrics

if TYPE_CHECKING:
    from gateway.daemon.certificate import Lasting
    from gateway.daemon.serving import Serving

# Senders may name addresses of their own, so thousands may be down; these tell what is the matter.
MOST_SHOWN = 20
# A stalled disk is waited for this long; a commit under way takes milliseconds.
PATIENCE_SECONDS = 60.0


def vitals(serving: Serving) -> Vitals:
    """Read what readiness is decided by."""
    journal = serving.ground.journal
    return Vitals(
        state=serving.state,
        journal_alive=True,  # its writer's death cancels everything, this code included
        journal_failing=journal.failing,
        journal_backlog=journal.backlog,
        loop_lag_seconds=serving.telling.lag.seconds,
        children=children(serving),
    )


def children(serving: Serving) -> tuple[ChildState, ...]:
    """Return how the children stand; what a crash or a platform said may hold a secret, which is masked."""
    hide = serving.telling.masks.hide
    return tuple(
        replace(each, why=hide(each.why), last_error=hide(each.last_error)) for each in serving.tree.children()
    )


def workers(serving: Serving) -> tuple[Standing, ...]:
    """Return how the workers stand that pipelines ask."""
    return tuple(serving.workers.standing(name) for name in sorted(serving.rpc.worker_names()))


def failing_destinations(serving: Serving) -> tuple[FailingDestination, ...]:
    """Return which destinations are down; a reason is told as the log tells it."""
    masks, texts = serving.telling.masks, serving.telling.texts
    return tuple(
        FailingDestination(
            name,
            masks.hide(destination),
            failures,
            _as_logged(DeliveryDeferred("", name, 0, 0.0, why), masks, texts=texts),
        )
        for (name, destination), failures, why in islice(serving.flow.outbox.circuits.open(), MOST_SHOWN)
    )


def _as_logged(notice: DeliveryDeferred, masks: Masks, *, texts: bool) -> str:
    return str(record_of(notice, 0.0, masks=masks, texts=texts).get("why", ""))


def certificate_ends_at(serving: Serving) -> float | None:
    """Return when the certificate that is shown runs out, in epoch seconds; None without TLS."""
    lasting = serving.certificate.lasting
    return None if lasting is None else lasting.ends_at


def access(settings: Settings) -> Access:
    """Say who may read /metrics: peers on this host, and the networks of listen.metrics_from."""
    return Access(settings.listen.metrics_from)


class Pulse:
    """Whether the gateway still gets its work done, for the service manager's watchdog.

    The journal, while works wait for it, is given one more that says when it is committed: all that is under way
    passes there, whether messages come in or replies go out. Not alive: it has not been for `PATIENCE_SECONDS`, while
    the journal itself reports no trouble. A full disk is trouble that a restart would not mend.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._asked_at = inf

    def alive(self) -> bool:
        """Say whether the journal gets on with its work, or has none."""
        journal, now = self._journal, trio.current_time()
        if journal.backlog and self._asked_at == inf:
            self._asked_at = now
            journal.submit(Accept(()), self._answered)
        return bool(journal.failing) or now - self._asked_at < PATIENCE_SECONDS

    def _answered(self, _outcome: Outcome) -> None:
        self._asked_at = inf


def queues(serving: Serving) -> dict[str, int]:
    """Return how much waits where."""
    flow = serving.flow
    depths = {f"outbox.{channel}": depth for channel, depth in flow.outbox.depths().items()}
    actors = {f"pipeline.{name}": actor.slots.waiting for name, actor in serving.staging.actors.items()}
    return {"lanes": flow.lanes.total, "in_hand": flow.door.in_hand, "outbox": flow.outbox.pending, **depths, **actors}


def metrics(serving: Serving) -> Metrics:
    """Build the answer to a scrape."""
    journal = serving.ground.journal
    return Metrics(
        serving.telling.book,
        (
            Gauge("oclaw_queue_depth", "Messages or replies waiting, by queue.", lambda: queues(serving), ("queue",)),
            Gauge("oclaw_journal_backlog", "Works submitted and not yet committed.", lambda: float(journal.backlog)),
            Gauge("oclaw_journal_failing", "1 while the journal cannot write.", lambda: float(bool(journal.failing))),
            Gauge("oclaw_ready", "1 while the gateway takes messages.", lambda: float(serving.state == "ready")),
            Gauge(
                "oclaw_log_lines_dropped", "Log lines lost since the start.", lambda: float(serving.telling.log.dropped)
            ),
            Gauge("oclaw_loop_lag_seconds", "How late the event loop is.", lambda: serving.telling.lag.worst),
            Gauge(
                "oclaw_child_up",
                "1 for a supervised child that is ready, else 0.",
                lambda: {child.name: float(child.state == "ready") for child in serving.tree.children()},
                ("child",),
            ),
            Gauge(
                "oclaw_workers",
                "Connected workers of a name that pipelines ask.",
                lambda: {each.name: float(each.connected) for each in workers(serving)},
                ("worker",),
            ),
            Gauge(
                "oclaw_certificate_begins_at",
                "From when on the certificate counts.",
                _of_certificate(serving, lambda lasting: lasting.begins_at),
                ("certificate",),
            ),
            Gauge(
                "oclaw_certificate_ends_at",
                "When the certificate runs out.",
                _of_certificate(serving, lambda lasting: lasting.ends_at),
                ("certificate",),
            ),
            *_rule_gauges(serving),
        ),
    )


def _of_certificate(serving: Serving, moment: Callable[[Lasting], float]) -> Callable[[], dict[str, float]]:
    """Read a moment of the certificate by its file, so that there is no series without TLS."""
    name = serving.parts.settings.listen.tls_certificate

    def read() -> dict[str, float]:
        lasting = serving.certificate.lasting
        return {} if lasting is None else {name: moment(lasting)}

    return read


def _rule_gauges(serving: Serving) -> tuple[Gauge, ...]:
    def changes() -> dict[str, float]:
        state = serving.rules.state
        return {"added": state.added, "removed": state.removed, "changed": state.changed}

    return (
        Gauge("oclaw_rules", "Rules in force.", lambda: float(rule_count(serving.parts.ruleset))),
        Gauge(
            "oclaw_rules_refused", "1 while edited rules are refused.", lambda: float(bool(serving.rules.state.refused))
        ),
        Gauge("oclaw_rules_loaded_at", "When the rules in force were loaded.", lambda: serving.rules.state.loaded_at),
        Gauge("oclaw_rules_last_reload", "Rules the last reload changed.", changes, ("what",)),
        Gauge(
            "oclaw_rule_matches",
            "Matches since the start, by rule.",
            lambda: series(serving.staging.memory.counters.rules),
            ("ruleset", "rule", "what"),
        ),
        Gauge(
            "oclaw_files_waiting_for_reload",
            "Files that changed and are read by oclaw reload.",
            lambda: float(len(serving.watch.waiting())),
        ),
    )
