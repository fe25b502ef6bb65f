"""The table "Faults survived": every proof tells what it survived, and a run with --faults writes it into a page.

    python -m pytest tests/proofs -m "not prove" --faults README.md --faults tests/proofs/README.md

A run writes the rows of what it ran and leaves the others, so the long proofs keep theirs.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.testing.proof import Tally

ROWS: pytest.StashKey[dict[str, Tally]] = pytest.StashKey()
HEAD = "| fault | accepted | lost | reordered | repeated, under the same id | duplicated |\n|---|---|---|---|---|---|"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--faults", action="append", metavar="PAGE", help="write the table of faults into a page")
    parser.addoption("--soak-minutes", type=float, help="another length of the long load")
    parser.addoption("--soak-rate", type=float, help="another rate of it, in messages a second")


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:  # short: a Unix socket's path may have 107 bytes
        yield Path(name)


@pytest.fixture
def survived(request: pytest.FixtureRequest) -> Callable[[str, Tally], None]:
    """Tell of a fault that was survived; what several tests tell of the same one is added up."""

    def tell(fault: str, tally: Tally) -> None:
        rows = request.config.stash.setdefault(ROWS, {})
        before = rows.get(fault)
        rows[fault] = tally if before is None else added(before, tally)

    return tell


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Print a measured figure at once, though the output is captured: a long proof is watched while it runs."""
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def tell(line: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\n  {line}", end="", flush=True)

    return tell


def added(one: Tally, other: Tally) -> Tally:
    return Tally(**{name: getattr(one, name) + getattr(other, name) for name in Tally.__struct_fields__})


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    rows = session.config.stash.get(ROWS, {})
    for page in session.config.getoption("faults", None) or []:
        path = Path(page)
        before, begin, rest = path.read_text("utf-8").partition("<!-- faults -->")
        table, _, after = rest.partition("<!-- /faults -->")
        lines = {row.split(" | ")[0][2:]: row for row in table.splitlines() if row.startswith("| ")}
        lines.pop("fault", None)
        lines |= {fault: line(fault, tally) for fault, tally in rows.items()}
        framed = "\n".join(["<!-- faults -->", HEAD, *lines.values(), "<!-- /faults -->"])
        path.write_text(f"{before}{framed}{after}" if begin else before, "utf-8")


def line(fault: str, tally: Tally) -> str:
    return (
        f"| {fault} | {tally.accepted:,} | {tally.lost} | {tally.reordered} | {tally.repeated} | {tally.duplicated} |"
    )
