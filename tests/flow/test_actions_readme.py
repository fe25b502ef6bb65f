"""The example of an installed action in gateway/flow/README.md does what the text says."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.support.story import gateway

README = (Path(__file__).parents[2] / "gateway/flow/README.md").read_text("utf-8")


async def test_the_example_action_works_as_written(autojump_clock: Any) -> None:
    example = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    rule = re.search(r"`(WHEN .*?)`", README)
    assert example is not None
    assert rule is not None
    names: dict[str, Any] = {}
    exec(example[1], names)
    action: Any = SimpleNamespace(spec=names["spec"], apply=names["apply"])
    async with gateway(rules=rule[1], actions={"escalate": action}) as story:
        await story.receives("fire!")
        await story.settles()
        assert story.sent(channel="oncall") == ["fire!"]
