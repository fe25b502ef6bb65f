"""`python -m gateway.cli`, for where the console script is not installed."""

from __future__ import annotations

from gateway.cli import main

main()
