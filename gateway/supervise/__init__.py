"""Children that crash are started again, and take nothing else down. See README.md."""

from __future__ import annotations

from gateway.supervise.child import ChildState, Run, State
from gateway.supervise.policy import Policy
from gateway.supervise.tree import Supervisor, open_supervisor

__all__ = ["ChildState", "Policy", "Run", "State", "Supervisor", "open_supervisor"]
