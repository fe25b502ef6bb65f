"""What the documents tell a person to type exists."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from click import Context

from gateway.cli.frame import COMMANDS, oclaw

HOUSE = Path(__file__).parents[2]
TEXTS = [
    HOUSE / "README.md",
    HOUSE / "gateway/cli/README.md",
    HOUSE / "gateway/config/README.md",
    HOUSE / "systemd/README.md",
    HOUSE / "systemd/oclaw.service",
    *sorted((HOUSE / "conf").rglob("*.md")),
    *sorted((HOUSE / "conf").rglob("oclaw.toml")),
    HOUSE / "conf/prometheus/oclaw.rules.yml",
]


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(HOUSE)))
def test_every_command_and_option_that_is_named_exists(path: Path) -> None:
    text = path.read_text("utf-8")
    for name, rest in re.findall(r"(?:`|^\s*|: |; )oclaw ([a-z]+)((?: [^`\n,;:#|]*)?)", text, re.MULTILINE):
        assert name in COMMANDS, f"oclaw {name}"
        command = oclaw.get_command(Context(oclaw), name)
        assert command is not None
        known = {option for parameter in command.params for option in parameter.opts}
        for sub in getattr(command, "commands", {}).values():
            known |= {option for parameter in sub.params for option in parameter.opts}
        assert set(re.findall(r"--[a-z-]+", rest)) - {"--help"} <= known, f"oclaw {name}{rest}"


@pytest.mark.parametrize("target", ["run", "test", "lint", "prove", "test-real", "bench", "lock"])
def test_make_knows_the_documented_targets(target: str) -> None:
    assert re.search(rf"^{target}:", (HOUSE / "Makefile").read_text("utf-8"), re.MULTILINE)


def test_the_lock_files_name_versions_and_no_place_to_fetch_them_from() -> None:
    for name in ("requirements.lock", "requirements-test.lock"):
        lines = (HOUSE / name).read_text("utf-8").splitlines()
        assert all(re.fullmatch(r"[\w.-]+==[\w.]+|\s*#.*|", line) for line in lines), name
        assert not any("://" in line or line.lstrip("# ").startswith("--") for line in lines), name


def test_every_library_that_is_installed_is_used() -> None:
    project = tomllib.loads((HOUSE / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = {
        re.split(r"[<>=\[]", each)[0].lower() for each in (*project["dependencies"], *extras["fast"], *extras["lsp"])
    }
    sources = [
        path.read_text("utf-8") for part in ("gateway", "protocols", "rules") for path in (HOUSE / part).rglob("*.py")
    ]
    imported = set(re.findall(r"^\s*(?:import|from) (\w+)", "\n".join(sources), re.MULTILINE))
    libraries = packages_distributions()
    used = {library.lower() for module in imported for library in libraries.get(module, ())}
    assert wanted - used == set()


def test_the_readme_names_every_command() -> None:
    text = (HOUSE / "README.md").read_text("utf-8")
    assert [name for name in COMMANDS if f"`oclaw {name}" not in text] == []
