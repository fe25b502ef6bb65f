"""Read server-sent events (WHATWG HTML, section 9.2). Pure."""

from __future__ import annotations

import codecs

import msgspec

from protocols.errors import AnswerTooLarge

# One event of a model's stream is a few hundred bytes; a line beyond this is not an event stream.
_MOST_BYTES = 1024 * 1024


class ServerSentEvent(msgspec.Struct, frozen=True):
    """One event. `name` is "message" when the stream names none."""

    data: str
    name: str = "message"
    id: str = ""
    retry_milliseconds: int | None = None


class SseDecoder:
    """Feed it bytes, however cut; it returns the events that became complete."""

    __slots__ = ("_data", "_decoder", "_id", "_name", "_retry", "_size", "_text", "_was_cr")

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._text: list[str] = []
        self._size = 0
        self._was_cr = False
        self._data: list[str] = []
        self._name = ""
        self._id = ""
        self._retry: int | None = None

    def feed(self, piece: bytes) -> list[ServerSentEvent]:
        """Take bytes and return complete events; raise AnswerTooLarge."""
        text = self._decoder.decode(piece)
        if self._was_cr and text.startswith("\n"):
            text = text[1:]
            self._was_cr = False
        if text:
            self._was_cr = text.endswith("\r")
        self._size += len(text)
        events: list[ServerSentEvent] = []
        lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        for line in lines[:-1]:
            whole = "".join(self._text) + line
            self._text = []
            self._line(whole, events)
        if lines[-1]:
            self._text.append(lines[-1])
        if self._size > _MOST_BYTES:
            raise AnswerTooLarge("A server-sent event is longer than 1 MiB.")
        return events

    def _line(self, line: str, events: list[ServerSentEvent]) -> None:
        if not line:
            self._finish(events)
            return
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            self._data.append(value)
        elif field == "event":
            self._name = value
        elif field == "id" and "\0" not in value:
            self._id = value
        elif field == "retry" and value.isascii() and value.isdigit():
            self._retry = int(value[:9])

    def _finish(self, events: list[ServerSentEvent]) -> None:
        if self._data:
            name = self._name or "message"
            events.append(ServerSentEvent("\n".join(self._data), name, self._id, self._retry))
        self._data, self._name, self._retry, self._size = [], "", None, 0
