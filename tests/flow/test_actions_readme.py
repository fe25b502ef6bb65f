"""What READMEs say of the rules' words: the example of an installed action works, and no field or action is missing."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from gateway.flow.vocabulary import vocabulary
from tests.support.story import gateway

HOUSE = Path(__file__).parents[2]
README = (HOUSE / "gateway/flow/README.md").read_text("utf-8")


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


def test_the_tables_for_operators_have_every_field_and_action() -> None:
    told = (HOUSE / "conf/rules.d/README.md").read_text("utf-8")
    for scope in vocabulary(pipelines=(), models=(), channels=()).scopes.values():
        assert [field for field in scope.fields if f"`{field}`" not in told] == []
        assert [action for action in scope.actions if f"`{action}(" not in told] == []
