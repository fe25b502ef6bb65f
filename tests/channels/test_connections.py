"""Every channel keeps its promises while connections break: against a fake of its platform, or a client of its own."""

from __future__ import annotations

import pytest
import trio.testing

from gateway.testing import connection_contract, dialing_contract
from tests.channels.connections import PLATFORMS


@pytest.fixture
def clock(platform):
    """Leaps when nothing happens any more; what is under way on loopback gets a real millisecond."""
    return trio.testing.MockClock(autojump_threshold=0.001 if platform.on_loopback else 0.0)


CASES = [
    pytest.param(platform, promise, id=f"{name}-{promise.__name__}")
    for name, platform in PLATFORMS.items()
    for promise in (
        dialing_contract.PROMISES if hasattr(platform, "wants_other_credentials") else connection_contract.PROMISES
    )
]


@pytest.mark.parametrize(("platform", "promise"), CASES)
async def test_it_keeps_its_promises_while_connections_break(platform, promise, clock):
    await promise(platform.open)
