"""The README's drawing is the tables', and its statements run."""

from __future__ import annotations

import re
from pathlib import Path

from gateway.journal import open_journal
from gateway.journal.drawing import drawing
from gateway.journal.opening import connect

README = Path(__file__).parents[2] / "gateway" / "journal" / "README.md"


def test_the_drawing_is_printed_from_the_tables() -> None:
    shown = re.search(r"<!-- drawing -->\n```\n(.*?)```", README.read_text(), re.DOTALL)
    assert shown is not None
    assert shown[1] == drawing()


async def test_the_statements_run_and_use_the_partial_indexes(tmp_path: Path) -> None:
    block = re.search(r"```sql\n(.*?)```", README.read_text(), re.DOTALL)
    assert block is not None
    statements = [line for line in block[1].splitlines() if line.startswith("SELECT")]
    async with open_journal(tmp_path / "journal.sqlite"):
        db = connect(tmp_path / "journal.sqlite", read_only=True)
        plans = [str(db.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall()) for statement in statements]
        db.close()
    assert "inbound_open" in plans[1]
    assert "delivery_open" in plans[2]
