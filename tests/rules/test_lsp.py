"""The language server, spoken to by a real client over its own pipes."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pygls")
pytest_lsp = pytest.importorskip("pytest_lsp")
from lsprotocol import types as lsp  # noqa: E402

LETS = 'LET vips = ["a"]\nLET night = TIME IN 22:00..06:00\n'
# A machine that many share may take this for starting an interpreter; a server that hangs is told all the same.
PATIENCE_SECONDS = 120
URI = "file:///rules.d/main.rules"


def speaking(story: Callable[[Any], Awaitable[None]]) -> None:
    """Play `story` with a client whose server is a process of its own."""

    async def play() -> None:
        client = pytest_lsp.make_test_lsp_client()
        await client.start_io(sys.executable, str(Path(__file__).parent / "serve_lsp.py"))
        try:
            capabilities = lsp.ClientCapabilities()
            await client.initialize_session(lsp.InitializeParams(capabilities=capabilities))
            await story(client)
        finally:
            await client.shutdown_session()
            await client.stop()

    asyncio.run(asyncio.wait_for(play(), PATIENCE_SECONDS))


async def opened(client: Any, text: str, uri: str = URI) -> None:
    document = lsp.TextDocumentItem(uri, "oclaw-rules", 1, text)
    client.text_document_did_open(lsp.DidOpenTextDocumentParams(document))
    await client.wait_for_notification(lsp.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)


def at(line: int, column: int) -> dict[str, Any]:
    return {"text_document": lsp.TextDocumentIdentifier(URI), "position": lsp.Position(line, column)}


def test_mistakes_are_shown_where_they_are_and_go_when_they_are_mended():
    async def story(client: Any) -> None:
        await opened(client, 'WHEN message.content == "😀" AND message.chanel == "b" THEN tag("x")')
        (found,) = client.diagnostics[URI]
        assert "there is no field message.chanel" in found.message
        assert (found.range.start.character, found.range.end.character) == (33, 47)
        change = lsp.TextDocumentContentChangeWholeDocument('WHEN message.size > 1 THEN tag("x")')
        version = lsp.VersionedTextDocumentIdentifier(2, URI)
        client.text_document_did_change(lsp.DidChangeTextDocumentParams(version, [change]))
        await client.wait_for_notification(lsp.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
        assert list(client.diagnostics[URI]) == []

    speaking(story)


def test_completion_hover_definition_and_format():
    async def story(client: Any) -> None:
        text = LETS + 'WHEN message.sender.id IN vips AND $night THEN route_to(""), tag("x")'
        await opened(client, text)
        names = await labels(client, at(2, 57))
        assert names == ["default", "support", "text_processing_pipeline"]
        assert {"route_to", "forward"} <= set(await labels(client, at(2, 47)))
        assert {"message.content", "vips"} <= set(await labels(client, at(2, 5)))
        hover = await client.text_document_hover_async(lsp.HoverParams(**at(2, 8)))
        assert hover.contents.value == "message.sender.id: text"
        place = await client.text_document_definition_async(lsp.DefinitionParams(**at(2, 37)))
        assert (place.uri, place.range.start.line) == (URI, 1)
        options = lsp.FormattingOptions(2, insert_spaces=True)
        asked = lsp.DocumentFormattingParams(lsp.TextDocumentIdentifier(URI), options)
        (edit,) = await client.text_document_formatting_async(asked)
        assert edit.new_text.startswith(LETS + "WHEN message.sender.id IN vips AND $night")

    speaking(story)


def test_a_document_that_is_neither_open_nor_on_the_disk_is_an_empty_one():
    async def story(client: Any) -> None:
        assert "WHEN" in await labels(client, at(0, 0))
        assert await client.text_document_hover_async(lsp.HoverParams(**at(3, 8))) is None

    speaking(story)


def test_the_files_beside_count_open_or_not_and_however_the_client_writes_their_address(tmp_path: Path):
    folder = tmp_path / "my gäteway"
    folder.mkdir()
    (folder / "lists.rules").write_text('WHEN oops\nLET vips = ["a"]\nWHEN message.size > 1 THEN tag("x")\n')
    main = folder / "main.rules"
    main.write_text("# on the disk\nWHEN message.sender.id IN vips")
    uri = main.as_uri()
    assert "%20" in uri

    async def story(client: Any) -> None:
        place = {"text_document": lsp.TextDocumentIdentifier(uri), "position": lsp.Position(1, 28)}
        found = await client.text_document_definition_async(lsp.DefinitionParams(**place))
        assert (found.uri.endswith("lists.rules"), found.range.start.line) == (True, 1)
        await opened(client, 'WHEN message.sender.id IN vips THEN tag("x")\nWHEN oops', uri)
        (wrong,) = client.diagnostics[uri]
        assert (wrong.range.start.line, "found the end" in wrong.message) == (1, True)
        found = await client.text_document_definition_async(
            lsp.DefinitionParams(lsp.TextDocumentIdentifier(uri), lsp.Position(0, 28))
        )
        assert (found.uri.endswith("lists.rules"), found.range.start.line) == (True, 1)

    speaking(story)


async def labels(client: Any, place: dict[str, Any]) -> list[str]:
    found = await client.text_document_completion_async(lsp.CompletionParams(**place))
    return [item.label for item in found]
