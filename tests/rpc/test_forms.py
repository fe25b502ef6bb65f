"""What a message holds that protobuf has no form for."""

from __future__ import annotations

import pytest

from gateway.api.rpc.forms import moment, struct_to


@pytest.mark.parametrize("beyond", [1e308, -1e308, float("inf"), float("nan"), 253_402_300_800.0])
def test_a_moment_that_no_timestamp_may_be_is_none(beyond: float) -> None:
    assert moment(beyond) == moment(0.0)
    assert moment(1.5).ToJsonString() == "1970-01-01T00:00:01.500Z"


def test_half_a_surrogate_pair_in_the_metadata_costs_a_character() -> None:
    assert dict(struct_to({"a\ud800": "b"})) == {"a\ufffd": "b"}
