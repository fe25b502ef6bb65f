"""What nobody foresaw while rules are compiled is a refusal, and not the end of the gateway."""

from __future__ import annotations

from pathlib import Path

from gateway.daemon.rulereload import Live, RuleReload
from gateway.notices import ConfigurationRefused
from rules import Ruleset, load
from tests.support.story import _NoLoader


async def test_a_bug_in_the_compiler_leaves_the_rules_in_force(tmp_path: Path) -> None:
    told, swapped = [], []
    ruleset = load({}, _words(), _NoLoader())
    assert isinstance(ruleset, Ruleset)

    (tmp_path / "main.rules").write_text("# edited\n")
    ruleset.loader, ruleset.lists = _Deep(), {"words": ()}
    reload = RuleReload(
        lambda: Live(tmp_path, ruleset, {}), lambda *done: swapped.append(done), told.append, lambda: 0.0
    )
    assert not await reload.look()
    assert "too deep" in reload.state.refused
    assert [type(notice) for notice in told] == [ConfigurationRefused]
    assert swapped == []


class _Deep(_NoLoader):
    def lines(self, name: str) -> tuple[str, ...]:
        raise RecursionError("too deep")


def _words() -> object:
    from gateway.flow.vocabulary import vocabulary

    return vocabulary(pipelines=(), models=(), channels=())
