"""The book of numbers: which notice moves which counter or histogram.

To count a new notice, add a line to `_table`. Names follow Prometheus: a counter ends in
`_total` (added when it is exposed), a duration in `_seconds`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from gateway import notices as n
from gateway.telemetry.counts import DELIVERY_BOUNDS, OVERHEAD_BOUNDS, STEP_BOUNDS, Counter, Histogram

Entry = Callable[[Any], None]


class Book:
    """All counters and histograms of one gateway. `entries` maps a notice's class to what it moves."""

    def __init__(self) -> None:
        self.accepted = Counter("oclaw_accepted", "Messages committed and acknowledged.", "channel")
        self.duplicates = Counter("oclaw_duplicates", "Redeliveries of known messages.", "channel")
        self.refused = Counter("oclaw_refused", "Messages refused at the door.", "channel", "reason")
        self.rejected = Counter("oclaw_rejected", "Messages a hook or rule rejected.", "channel", "stage")
        self.routed = Counter("oclaw_routed", "Messages given to a pipeline.", "pipeline")
        self.unrouted = Counter("oclaw_unrouted", "Messages nothing took.", "channel")
        self.set_aside = Counter("oclaw_set_aside", "Messages held or delayed.", "channel", "state")
        self.dropped = Counter("oclaw_dropped", "Messages a rule or person discarded.", "channel")
        self.settled = Counter("oclaw_settled", "Messages that walked to the end.", "channel")
        self.dead = Counter("oclaw_dead", "Messages and deliveries that gave up.", "kind", "channel")
        self.delivered = Counter("oclaw_delivered", "Replies that arrived.", "channel")
        self.deferred = Counter("oclaw_deferred", "Attempts to be repeated.", "channel")
        self.unknown = Counter("oclaw_unknown", "Replies of unknown outcome.", "channel")
        self.disabled = Counter("oclaw_destinations_disabled", "Destinations that asked for no more.", "channel")
        self.breakers = Counter("oclaw_breaker_changes", "Circuit breakers that changed.", "channel", "state")
        self.hook_overruns = Counter("oclaw_hook_overruns", "Hooks past their deadline.", "hook")
        self.hook_failures = Counter("oclaw_hook_failures", "Hooks that raised.", "hook")
        self.rule_mismatches = Counter("oclaw_rule_mismatches", "Rules that met a wrong type.", "rule")
        self.rule_failures = Counter("oclaw_rule_failures", "Actions of rules that could not be done.", "rule")
        self.step_failures = Counter("oclaw_step_failures", "Pipeline steps without answer.", "pipeline", "step")
        self.child_crashes = Counter("oclaw_child_crashes", "Crashes of supervised children.", "child")
        self.unknown_events = Counter("oclaw_unknown_events", "Platform events unknown to us.", "channel", "kind")
        self.ignored = Counter("oclaw_ignored_events", "Events that are not for us.", "channel", "reason")
        self.typing_failures = Counter("oclaw_typing_failures", "Typing a platform would not show.", "channel")
        self.requests_refused = Counter("oclaw_requests_refused", "Requests that were none, by status.", "status")
        self.connections_refused = Counter("oclaw_connections_refused", "Connections turned away or cut.", "reason")
        self.accept_pauses = Counter("oclaw_accept_pauses", "Pauses for want of descriptors or memory.")
        self.requests_failed = Counter("oclaw_requests_failed", "Code that raised where nothing may.", "where")
        self.calls = Counter("oclaw_grpc_calls", "gRPC calls that ended.", "method", "status")
        self.journal_failures = Counter("oclaw_journal_failures", "Failed commits.")
        self.transitions_refused = Counter("oclaw_transitions_refused", "Moves the lifecycle does not allow.")
        self.dead_shed = Counter("oclaw_dead_shed", "Dead letters dropped because there were too many.")
        self.callbacks_failed = Counter("oclaw_journal_callbacks_failed", "Code after a commit that raised.")
        self.stalls = Counter("oclaw_loop_stalls", "Task steps that held the loop too long.")
        self.reloads = Counter("oclaw_configurations", "Configurations taken or refused.", "outcome")
        self.overhead = Histogram("oclaw_overhead_seconds", "Gateway time of a message.", OVERHEAD_BOUNDS)
        self.delivery = Histogram("oclaw_delivery_seconds", "From intent to receipt.", DELIVERY_BOUNDS, "channel")
        self.hook_time = Histogram("oclaw_hook_seconds", "Time of hooks over 1 ms.", STEP_BOUNDS, "hook")
        self.rule_time = Histogram("oclaw_rules_seconds", "Time the rules took.", STEP_BOUNDS)
        self.entries: dict[type[n.Notice], Entry] = _table(self)

    def expect(self, channels: Iterable[str]) -> None:
        """Show these channels' numbers from the start: an alert on the first dead letter needs the 0 before it."""
        for outcome in ("loaded", "refused"):
            self.reloads.expect(outcome)
        for channel in channels:
            for counter in (self.accepted, self.unrouted, self.delivered, self.deferred, self.unknown):
                counter.expect(channel)
            for kind in ("message", "delivery"):
                self.dead.expect(kind, channel)

    def counters(self) -> tuple[Counter, ...]:
        """All counters, in the order of definition."""
        return tuple(value for value in vars(self).values() if isinstance(value, Counter))

    def histograms(self) -> tuple[Histogram, ...]:
        """All histograms, in the order of definition."""
        return tuple(value for value in vars(self).values() if isinstance(value, Histogram))

    def summary(self) -> dict[str, int]:
        """Every counter's total under its short name, for `oclaw status`."""
        return {counter.name.removeprefix("oclaw_"): counter.total() for counter in self.counters()}


def _table(b: Book) -> dict[type[n.Notice], Entry]:
    def settled(notice: n.EnvelopeSettled) -> None:
        b.settled.add(notice.channel)
        b.overhead.observe(notice.gateway_seconds)

    def delivered(notice: n.DeliverySettled) -> None:
        b.delivered.add(notice.channel)
        b.delivery.observe(notice.seconds, notice.channel)

    return {
        n.EnvelopeAccepted: b.accepted.by("channel"),
        n.EnvelopeDuplicate: b.duplicates.by("channel"),
        n.EnvelopeRefused: b.refused.by("channel", "reason"),
        n.EnvelopeRejected: b.rejected.by("channel", "stage"),
        n.EnvelopeRouted: b.routed.by("pipeline"),
        n.EnvelopeUnrouted: b.unrouted.by("channel"),
        n.EnvelopeSetAside: b.set_aside.by("channel", "state"),
        n.EnvelopeDropped: b.dropped.by("channel"),
        n.EnvelopeSettled: settled,
        n.EnvelopeBuried: lambda x: b.dead.add("message", x.channel),
        n.HookRan: lambda x: b.hook_time.observe(x.seconds, x.hook),
        n.HookOverran: b.hook_overruns.by("hook"),
        n.HookFailed: b.hook_failures.by("hook"),
        n.RulesRan: lambda x: b.rule_time.observe(x.seconds),
        n.RuleMismatch: b.rule_mismatches.by("rule"),
        n.RuleFailed: b.rule_failures.by("rule"),
        n.StepFailed: b.step_failures.by("pipeline", "step"),
        n.DeliverySettled: delivered,
        n.DeliveryDeferred: b.deferred.by("channel"),
        n.DeliveryUnknown: b.unknown.by("channel"),
        n.DeliveryBuried: lambda x: b.dead.add("delivery", x.channel),
        n.DestinationDisabled: b.disabled.by("channel"),
        n.BreakerChanged: b.breakers.by("channel", "state"),
        # A child changes before it can crash, so its crashes are counted up from a 0 that was seen.
        n.ChildChanged: lambda x: b.child_crashes.expect(x.child),
        n.ChildCrashed: b.child_crashes.by("child"),
        n.UnknownEvent: b.unknown_events.by("channel", "kind"),
        n.EventIgnored: b.ignored.by("channel", "reason"),
        n.TypingFailed: b.typing_failures.by("channel"),
        n.RequestRefused: lambda x: b.requests_refused.add(str(x.status)),
        n.ConnectionRefused: b.connections_refused.by("reason"),
        n.AcceptingPaused: b.accept_pauses.by(),
        n.RequestFailed: b.requests_failed.by("where"),
        n.CallEnded: b.calls.by("method", "status"),
        n.JournalFailed: b.journal_failures.by(),
        n.TransitionRefused: b.transitions_refused.by(),
        n.DeadLettersShed: lambda x: b.dead_shed.add(times=x.count),
        n.JournalCallbackFailed: b.callbacks_failed.by(),
        n.LoopStalled: b.stalls.by(),
        n.ConfigurationLoaded: lambda x: b.reloads.add("loaded"),
        n.ConfigurationRefused: lambda x: b.reloads.add("refused"),
    }
