"""What nobody foresaw while rules are compiled is a refusal, and not the end of the gateway."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import trio
import trio.testing

from gateway.daemon.rulebuild import unhurried
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


async def test_rules_are_taken_apart_when_the_last_message_that_began_with_them_is_through(tmp_path: Path) -> None:
    text = 'WHEN message.type == "text" THEN drop("x")\n'
    old, new = (load({"main.rules": text}, _words(), _NoLoader()) for _ in range(2))
    assert isinstance(old, Ruleset)
    assert isinstance(new, Ruleset)
    reload = RuleReload(lambda: Live(tmp_path, new, {}), lambda *_done: None, print, lambda: 0.0)
    stages = _Stages()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reload.let_go)
        reload.retire(old, new, stages)
        await trio.testing.wait_all_tasks_blocked()
        assert old.engines
        del stages
        await reload.settled()
        assert not old.engines
        assert new.engines
        nursery.cancel_scope.cancel()


class _Stages:
    """What messages under way hold."""


class _Deep(_NoLoader):
    def lines(self, name: str) -> tuple[str, ...]:
        raise RecursionError("too deep")


def _words() -> object:
    from gateway.flow.vocabulary import vocabulary

    return vocabulary(pipelines=(), models=(), channels=())


def test_two_that_compute_unhurriedly_at_once_leave_the_process_as_it_was() -> None:
    turn, collecting = sys.getswitchinterval(), gc.isenabled()
    first, second = unhurried(), unhurried()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert (sys.getswitchinterval() < turn, gc.isenabled()) == (True, False)
    second.__exit__(None, None, None)
    assert (sys.getswitchinterval(), gc.isenabled()) == (turn, collecting)
