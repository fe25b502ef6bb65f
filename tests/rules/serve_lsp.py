"""The language server with the tests' vocabulary, on standard input and output."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from rules.lsp import server
    from tests.rules.language import VOCABULARY, Shelf

    def beside(folder: str) -> dict[str, str]:
        return {path.name: path.read_text() for path in Path(folder).glob("*.rules")}

    server(VOCABULARY, Shelf(), beside).start_io()
