"""Which envelope the running task is about; every log line of that task carries it.

Context variables flow into the tasks and worker threads that a task starts, so one
`about(envelope_id)` at the top of a walk reaches everything below it.
"""

from __future__ import annotations

from contextvars import ContextVar

_current: ContextVar[str] = ContextVar("oclaw_envelope_id", default="")

about = _current.set
"""`about(envelope_id)`: from here on, this task and what it starts is about this envelope; '' ends it."""

current = _current.get
"""`current()`: the envelope this task is about, or ''."""
