"""A reload says of every setting whether it is in force now or from the next start on."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from msgspec.structs import fields, force_setattr, replace

from gateway.config.settings import Settings
from gateway.daemon.build import Parts
from gateway.daemon.differences import SECTIONS, differences

BEGAN = Settings(directory=Path("conf"), state_dir=Path("state"))
# Where things are, and what is compared entry by entry.
OTHERS = {"directory", "state_dir", "channels", "models"}
EACH = [(section, name) for section, each in SECTIONS.items() for name in (*each.now, *each.later)]


def parts(settings: Settings) -> Parts:
    nothing = cast(Any, None)
    return Parts(
        settings=settings, channels={}, models=nothing, pipelines={}, inbound=(), outbound=(), ruleset=nothing,
        rule_files={}, functions={},
    )  # fmt: skip


def test_every_setting_stands_in_the_table_once() -> None:
    sections = {field.name: field.type for field in fields(Settings) if field.name not in OTHERS}
    assert set(SECTIONS) == set(sections)
    for name, shape in sections.items():
        assert issubclass(shape, msgspec.Struct)
        told = [*SECTIONS[name].now, *SECTIONS[name].later]
        assert sorted(told) == sorted(field.name for field in fields(shape)), name


@pytest.mark.parametrize(("section", "name"), EACH)
def test_a_change_is_told_as_taken_or_as_late_until_the_next_start(section: str, name: str) -> None:
    other = copy.copy(getattr(BEGAN, section))
    force_setattr(other, name, "another")
    changed = replace(BEGAN, **{section: other})
    late = f"[{section}] {name} takes effect at the next start"
    at_once = name in SECTIONS[section].now
    assert differences(parts(BEGAN), parts(changed), BEGAN) == (f"[{section}] {name} changed" if at_once else late,)
    assert differences(parts(changed), parts(changed), BEGAN) == (() if at_once else (late,))
    assert differences(parts(changed), parts(BEGAN), BEGAN) == ((f"[{section}] {name} changed",) if at_once else ())
