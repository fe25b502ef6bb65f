"""The operator's own part in a measurement: the rules, the names of the channels, the disk.

Secrets are not needed and not read, so that it works beside a service whose credentials systemd holds.
"""

from __future__ import annotations

import os
from pathlib import Path

from gateway.cli.faults import by_name
from gateway.cli.measure.scratch import EXAMPLE
from gateway.config import paths
from gateway.config.load import FILE, state_of
from gateway.daemon.build import WrongRules
from gateway.daemon.rulebuild import Wrong, compiled, words_of
from gateway.daemon.rulefiles import FolderLoader, read_rules
from gateway.errors import SettingErrors
from rules import Ruleset


def own_rules(config: Path) -> tuple[Ruleset, list[str]]:
    """Return the compiled rules and the channels of a folder, or of the example where there is none.

    Raises `SettingErrors` for rules that are wrong.
    """
    settings = by_name(config if (config / FILE).is_file() else EXAMPLE)
    pipelines = {path.stem for path in settings.pipelines_dir.glob("*.y*ml")}
    words = words_of(settings, pipelines, settings.models, {})
    loader = FolderLoader(settings.rules_dir, settings.gateway.time_zone)
    made = compiled(read_rules(settings.rules_dir), words, loader)
    if isinstance(made, Wrong):
        raise SettingErrors([WrongRules(problem) for problem in made.problems])
    return made.ruleset, sorted(settings.channels)


def own_disk(config: Path) -> Path:
    """Return the folder nearest to where the journal is kept that exists and may be written."""
    if (config / FILE).is_file():
        place = state_of(config, os.environ)
    else:
        place = paths.state_dir(config, "", os.environ)
    return next((each for each in (place, *place.parents) if each.is_dir() and os.access(each, os.W_OK)), Path("/tmp"))
