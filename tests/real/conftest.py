"""Tests whose server cannot be had on this machine are skipped, and say why."""

from __future__ import annotations

import pytest

from tests.real import ngircd, synapse, systemd_box
from tests.real.missing import Missing

NEEDS = {
    "test_matrix": synapse.installed,
    "test_matrix_features": synapse.installed,
    "test_irc": ngircd.program,
    "test_systemd": systemd_box.installed,
}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Install the server, if need be, before the test's own deadlines begin."""
    needed = NEEDS.get(item.path.stem)
    if needed is not None:
        try:
            needed()
        except Missing as missing:
            pytest.skip(str(missing))
