"""What the gateway costs on this machine: measured the same way by `oclaw bench` and by tests/bench/flow_bench.py."""

from __future__ import annotations
