"""The language server with the tests' vocabulary, on standard input and output."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from rules.lsp import server
    from tests.rules.language import VOCABULARY, Shelf

    server(VOCABULARY, Shelf()).start_io()
