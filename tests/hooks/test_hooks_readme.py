"""What the README for hook writers shows works as it is shown."""

from __future__ import annotations

import re
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any

import pytest

import gateway.hooks
from gateway.config.load import load
from gateway.errors import Reject
from gateway.message.draft import Draft
from gateway.message.message import Message
from gateway.plugins import BUILT_IN, PluginTable
from gateway.ports import HookContext, Kit

README = (Path(gateway.hooks.__file__).parent / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.fixture
def shown() -> dict[str, Any]:
    names: dict[str, Any] = {}
    for block in blocks("python"):
        exec(block, names)
    return names


def draft(content: str = "a  b", **metadata: Any) -> Draft:
    return Draft(Message(channel="web", content=content, metadata=metadata))


def test_the_shortest_hook_passes_and_rejects(shown):
    message = draft()
    assert shown["preprocess_hook"](message) is message
    with pytest.raises(ValueError, match="Invalid content") as caught:
        shown["preprocess_hook"](draft("a prohibited_word"))
    assert type(caught.value) is ValueError


def test_the_hook_that_changes_its_draft(shown):
    message = draft()
    assert shown["tidy"](message) is None
    finished = message.finish()
    assert (finished.content, finished.metadata, finished.sender.name) == ("a b", {"length": 3}, "somebody")


def test_the_hook_that_answers(shown):
    shown["office_hours"](draft())
    with pytest.raises(Reject) as caught:
        shown["office_hours"](draft(hour=23))
    assert caught.value.tell == "We are back at eight in the morning."


async def test_the_hooks_with_a_context_and_with_waiting(shown):
    message = draft()
    shown["stamp"](message, HookContext("e-1", "inbound", "web", 1, 0.0))
    assert iscoroutinefunction(shown["ask_elsewhere"])
    await shown["ask_elsewhere"](message)
    assert message.finish().metadata == {"seen_as": "e-1", "asked": True}


def test_the_configuration_loads_and_every_built_in_hook_is_built(tmp_path):
    (tmp_path / "hooks").mkdir()
    (tmp_path / "hooks" / "my_hooks.py").write_text(blocks("python")[0], "utf-8")
    (tmp_path / "words.txt").write_text("prohibited", "utf-8")
    (tmp_path / "oclaw.toml").write_text("\n".join(blocks("toml")), "utf-8")
    plugins = PluginTable(tmp_path / "hooks")
    chains = load(tmp_path, plugins, {"HOME": str(tmp_path)}).hooks
    kit = Kit(report=lambda notice: None, now=float, random=bytes, http=None, config_dir=str(tmp_path))
    built = {entry.use: plugins.build("hooks", entry.use, entry.settings, kit) for entry in chains.inbound[1:]}
    built |= {entry.use: plugins.build("hooks", entry.use, entry.settings, kit) for entry in chains.outbound}
    assert set(built) == set(BUILT_IN["hooks"])
    assert all(map(callable, built.values()))
    assert plugins.hook_function(chains.inbound[0].use).__name__ == "preprocess_hook"
