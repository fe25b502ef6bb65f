"""The language server: the editor's protocol around `complete.py`, `load` and `format_text`.

`server(vocabulary, loader)` makes it; the host starts it on standard input and output. Files of
the same directory that are open are checked together, as the gateway loads them. Offsets in the
protocol count UTF-16 units; pygls turns them into ours.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any  # pygls and lsprotocol are an extra and come untyped

from rules.complete import candidates, definition, describe, problems
from rules.errors import Problem
from rules.format import format_text
from rules.vocabulary import Loader, Vocabulary

TRIGGERS = [".", '"', "$"]


def server(vocabulary: Vocabulary, loader: Loader) -> Any:
    """A pygls server for this vocabulary. Raises ImportError without the extra `oclaw[lsp]`."""
    from lsprotocol import types as lsp
    from pygls.lsp.server import LanguageServer

    made = LanguageServer("oclaw-rules", "1")
    made.feature(lsp.TEXT_DOCUMENT_DID_OPEN)(lambda event: _publish(made, event, vocabulary, loader))
    made.feature(lsp.TEXT_DOCUMENT_DID_CHANGE)(lambda event: _publish(made, event, vocabulary, loader))
    made.feature(lsp.TEXT_DOCUMENT_DID_SAVE)(lambda event: _publish(made, event, vocabulary, loader))

    @made.feature(lsp.TEXT_DOCUMENT_COMPLETION, lsp.CompletionOptions(trigger_characters=TRIGGERS))
    def complete(asked: Any) -> Any:
        document = _document(made, asked.text_document.uri)
        offset = document.offset_at_position(asked.position)
        return [_item(lsp, one) for one in candidates(document.source, offset, vocabulary)]

    @made.feature(lsp.TEXT_DOCUMENT_HOVER)
    def hover(asked: Any) -> Any:
        document = _document(made, asked.text_document.uri)
        told = describe(document.source, document.offset_at_position(asked.position), vocabulary)
        return lsp.Hover(lsp.MarkupContent(lsp.MarkupKind.PlainText, told)) if told else None

    @made.feature(lsp.TEXT_DOCUMENT_DEFINITION)
    def go_to(asked: Any) -> Any:
        document = _document(made, asked.text_document.uri)
        files = _beside(made, asked.text_document.uri)
        offset = document.offset_at_position(asked.position)
        found = definition(files, asked.text_document.uri, offset)
        return None if found is None else lsp.Location(found.file, _range(lsp, made, found))

    @made.feature(lsp.TEXT_DOCUMENT_FORMATTING)
    def tidy(asked: Any) -> Any:
        document = _document(made, asked.text_document.uri)
        text = format_text(document.source)
        if not isinstance(text, str) or text == document.source:
            return []
        everything = lsp.Range(lsp.Position(0, 0), lsp.Position(len(document.lines), 0))
        return [lsp.TextEdit(everything, text)]

    return made


def _document(made: Any, uri: str) -> Any:
    """One that the editor has opened; else the file, and an empty text where there is none that can be read."""
    from pygls.workspace import TextDocument

    document = made.workspace.get_text_document(uri)
    try:
        document.source  # noqa: B018 - read from the disk when the editor has not opened it
    except (OSError, UnicodeError):
        return TextDocument(uri, "")
    return document


def _publish(made: Any, event: Any, vocabulary: Vocabulary, loader: Loader) -> None:
    """Check the open files of the directory together; each gets its own problems, or none."""
    from lsprotocol import types as lsp

    files = _beside(made, event.text_document.uri)
    found = problems(files, vocabulary, loader).problems
    for uri in files:
        shown = [_diagnostic(lsp, made, problem) for problem in found if problem.file == uri]
        made.text_document_publish_diagnostics(lsp.PublishDiagnosticsParams(uri, shown))


def _beside(made: Any, uri: str) -> dict[str, str]:
    folder = PurePosixPath(uri).parent
    documents = made.workspace.text_documents
    return {other: documents[other].source for other in documents if PurePosixPath(other).parent == folder}


def _diagnostic(lsp: Any, made: Any, problem: Problem) -> Any:
    document = _document(made, problem.file)
    start = lsp.Position(problem.line - 1, problem.column - 1)
    end = lsp.Position(problem.line - 1, problem.column - 1 + problem.width)
    codec = document.position_codec
    units = codec.range_to_client_units(document.lines or [""], lsp.Range(start, end))
    message = f"{problem.message}\n{problem.hint}" if problem.hint else problem.message
    return lsp.Diagnostic(units, message, lsp.DiagnosticSeverity.Error, source="oclaw")


def _item(lsp: Any, one: Any) -> Any:
    kinds = {
        "field": lsp.CompletionItemKind.Field,
        "action": lsp.CompletionItemKind.Function,
        "let": lsp.CompletionItemKind.Variable,
        "keyword": lsp.CompletionItemKind.Keyword,
        "name": lsp.CompletionItemKind.Value,
    }
    return lsp.CompletionItem(one.text, kind=kinds[one.kind], detail=one.about or None)


def _range(lsp: Any, made: Any, place: Any) -> Any:
    document = _document(made, place.file)
    start, end = (document.client_position_at_offset(offset) for offset in (place.start, place.end))
    return lsp.Range(start, end)
