"""The language server: the editor's protocol around `complete.py`, `load` and `format_text`.

`server(vocabulary, loader, beside)` makes it; the host starts it on standard input and output. Files of
the same directory that are open are checked together, as the gateway loads them, with the LETs of those that
are not. Offsets in the protocol count UTF-16 units; pygls turns them into ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Any  # pygls and lsprotocol are an extra and come untyped
from urllib.parse import unquote

from rules.complete import candidates, definition, describe, only_lets, problems
from rules.errors import Problem
from rules.format import format_text
from rules.vocabulary import Loader, Vocabulary

Beside = Callable[[str], Mapping[str, str]]
TRIGGERS = [".", '"', "$"]


def server(vocabulary: Vocabulary, loader: Loader, beside: Beside = lambda _folder: {}) -> Any:
    """A pygls server for this vocabulary. Raises ImportError without the extra `oclaw[lsp]`.

    `beside` gives the rule files of a folder by name, for those that are not open; it raises nothing.
    """
    from lsprotocol import types as lsp
    from pygls.lsp.server import LanguageServer

    made = LanguageServer("oclaw-rules", "1")
    made.feature(lsp.TEXT_DOCUMENT_DID_OPEN)(lambda event: _publish(made, event, vocabulary, loader, beside))
    made.feature(lsp.TEXT_DOCUMENT_DID_CHANGE)(lambda event: _publish(made, event, vocabulary, loader, beside))
    made.feature(lsp.TEXT_DOCUMENT_DID_SAVE)(lambda event: _publish(made, event, vocabulary, loader, beside))

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
        files = _files(made, asked.text_document.uri, beside)
        offset = document.offset_at_position(asked.position)
        found = definition({**files, document.uri: document.source}, document.uri, offset)
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


def _publish(made: Any, event: Any, vocabulary: Vocabulary, loader: Loader, beside: Beside) -> None:
    """Check the open files of the directory together; each gets its own problems, or none."""
    from lsprotocol import types as lsp

    files = _files(made, event.text_document.uri, beside)
    shared = {uri: text if uri in _open(made) else only_lets(text) for uri, text in files.items()}
    found = problems(shared, vocabulary, loader).problems
    for uri in files.keys() & _open(made):
        shown = [_diagnostic(lsp, made, problem) for problem in found if problem.file == uri]
        made.text_document_publish_diagnostics(lsp.PublishDiagnosticsParams(uri, shown))


def _files(made: Any, uri: str, beside: Beside) -> dict[str, str]:
    """The rule files of the folder by their addresses: as they are in the editor, else as they are on the disk.

    A client may write an address with escapes (`%20`), and pygls keeps its documents without.
    """
    from pygls.uris import from_fs_path, to_fs_path

    folder = _folder(uri)
    documents = [each for each in made.workspace.text_documents.values() if _folder(each.uri) == folder]
    files = {each.uri: each.source for each in documents}
    here, names = to_fs_path(uri), {PurePosixPath(unquote(each)).name for each in files}
    if here is not None:
        place = PurePosixPath(here).parent
        files |= {
            from_fs_path(str(place / name)): text for name, text in beside(str(place)).items() if name not in names
        }
    return files


def _open(made: Any) -> set[str]:
    return {document.uri for document in made.workspace.text_documents.values()}


def _folder(uri: str) -> PurePosixPath:
    return PurePosixPath(unquote(uri)).parent


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
