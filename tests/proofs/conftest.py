"""The table "Faults survived": every proof tells what it survived, and a run with --faults writes it into a page.

python -m pytest tests/proofs -m "not prove" --faults README.md --faults tests/proofs/README.md
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


def added(one: Tally, other: Tally) -> Tally:
    return Tally(**{name: getattr(one, name) + getattr(other, name) for name in Tally.__struct_fields__})


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    rows = session.config.stash.get(ROWS, {})
    for page in session.config.getoption("faults", None) or []:
        path = Path(page)
        table = "\n".join([HEAD, *(line(fault, tally) for fault, tally in rows.items())])
        framed = f"<!-- faults -->\n{table}\n<!-- /faults -->"
        before, begin, rest = path.read_text("utf-8").partition("<!-- faults -->")
        path.write_text(f"{before}{framed}{rest.partition('<!-- /faults -->')[2]}" if begin else before, "utf-8")


def line(fault: str, tally: Tally) -> str:
    return (
        f"| {fault} | {tally.accepted:,} | {tally.lost} | {tally.reordered} | {tally.repeated} | {tally.duplicated} |"
    )
