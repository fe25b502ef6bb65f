"""One supervised child: run it, watch it, start it again. One coroutine for its whole life.

What to do after a crash is decided in `policy.py`; who the children are is `tree.py`'s.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from math import inf
from typing import Any, Literal

import trio
from msgspec import Struct
from msgspec.structs import replace

from gateway.errors import as_text, bounded, parted
from gateway.notices import ChildChanged, ChildCrashed, ChildDisconnected, Report
from gateway.supervise.crash import tell, wrong_setting
from gateway.supervise.policy import GiveUp, Pause, Policy, decide, remember

# A channel tries again every half minute or so, and one that flaps comes and goes as often: who reads warnings alone
# hears of it at once, and then this seldom for as long as it goes on.
WARNING_SECONDS = 600.0
State = Literal["starting", "ready", "waiting", "disconnected", "failed", "stopped"]
Run = Callable[[Any], Awaitable[object]]
"""`run(task_status)`: calls `task_status.started()` when it can serve, then works until cancelled."""


class ChildState(Struct, frozen=True, kw_only=True):
    """How one child stands. `since` and `again_at` are epoch seconds; `why` explains the state where it needs it."""

    name: str
    state: State
    since: float
    why: str = ""
    restarts: int = 0
    last_error: str = ""
    again_at: float = 0.0


class Surroundings(Struct, frozen=True):
    """What every child of a tree shares: where facts go, the time of day, and a source of 0..1 for jitter."""

    report: Report
    now: Callable[[], float]
    spread: Callable[[], float]


class Child:
    """A name, what it runs, and how it stands. `settled` is set once it first leaves "starting"."""

    def __init__(self, name: str, run: Run, policy: Policy, around: Surroundings) -> None:
        self._run, self._policy, self._around = run, policy, around
        self._scope = trio.CancelScope()
        self._up_since: float | None = None
        self._warn_from = -inf
        self.state = ChildState(name=name, state="starting", since=around.now())
        self.settled = trio.Event()
        self.ended = trio.Event()

    async def live(self) -> None:
        """Run until stopped, given up or finished. Raises nothing but `Cancelled`."""
        self._around.report(ChildChanged(self.state.name, "starting"))
        try:
            with self._scope:
                await self._run_again_and_again()
        finally:
            if self.state.state != "failed":
                self._become("stopped", "" if self._scope.cancel_called else self.state.why)
            self.settled.set()
            self.ended.set()

    def stop(self) -> None:
        """Ask it to end; `ended` is set when it has."""
        self._scope.cancel()

    def started(self, value: object = None) -> None:
        """Be the `task_status` of a run: it can serve now. A platform that is known to be down stays so."""
        if self.state.state == "starting":
            self._become("ready")

    def connected(self, state: str, why: str = "") -> None:
        """Take what a channel says of its connection: "ready" and "connected" are up, any other word is down."""
        if self.state.state in ("waiting", "failed", "stopped"):
            return
        # A plugin hands over what it caught, too, or the platform's whole answer.
        why = bounded(as_text(why))
        if state in ("ready", "connected"):
            self._become("ready", why)
        else:
            word = "" if state == "disconnected" else state
            self._become("disconnected", ": ".join(part for part in (word, why) if part))

    async def _run_again_and_again(self) -> None:
        crashes: tuple[float, ...] = ()
        while (crash := await self._run_once()) is not None:
            now = trio.current_time()
            crashes = remember(crashes, self._policy, now=now, healthy_since=self._up_since)
            answer: Pause | GiveUp = decide(crashes, self._policy, spread=self._around.spread())
            if wrong_setting(crash) is not None:
                answer = GiveUp("a setting is wrong")
            if isinstance(answer, GiveUp):
                self._crashed("failed", crash, why=answer.why)
                return
            self._crashed("waiting", crash, again_in=answer.seconds)
            await trio.sleep(answer.seconds)
            self._become("starting", restarts=self.state.restarts + 1)

    async def _run_once(self) -> BaseException | None:
        crash: BaseException | None = None
        self._up_since = None
        try:
            await self._run(self)
        except trio.Cancelled:
            raise
        except BaseException as raised:  # sys.exit() in a channel is a crash like any other
            crash, passing = parted(raised)
            if passing is not None:
                self._keep(crash)
                raise passing from None
        if self._scope.cancel_called:
            self._keep(crash)
            return None
        if crash is None and self._policy.permanent:
            return RuntimeError("it returned, and it should run until it is stopped")
        return crash

    def _keep(self, error: BaseException | None) -> None:
        """What a child raises while it is being stopped is worth a line in `status`, and is no crash."""
        if error is not None:
            self.state = replace(self.state, last_error=tell(error))

    def _crashed(self, state: State, crash: BaseException, *, why: str = "", again_in: float = -1.0) -> None:
        error = tell(crash)
        now = self._around.now()
        self.state = replace(
            self.state, state=state, since=now, why=why, last_error=error, again_at=now + again_in if why == "" else 0.0
        )
        self.settled.set()
        self._around.report(ChildCrashed(self.state.name, error, again_in))

    def _become(self, state: State, why: str = "", *, restarts: int | None = None) -> None:
        if state in ("ready", "disconnected") and self._up_since is None:
            self._up_since = trio.current_time()
        if (state, why) == (self.state.state, self.state.why):
            return
        restarts = self.state.restarts if restarts is None else restarts
        since = self.state.since if state == self.state.state else self._around.now()
        self.state = replace(self.state, state=state, since=since, why=why, restarts=restarts, again_at=0.0)
        if state != "starting":
            self.settled.set()
        self._tell(state, why)

    def _tell(self, state: State, why: str) -> None:
        now = trio.current_time()
        if state == "disconnected" and now >= self._warn_from:
            self._warn_from = now + WARNING_SECONDS
            self._around.report(ChildDisconnected(self.state.name, why))
        else:
            self._around.report(ChildChanged(self.state.name, state, why))
