"""Make realistic records to train a zstd dictionary on, and to measure with: the same ones for the same seed.

What they are made of (shapes of the platforms' fields, speech in many languages) stands in
`dictionaries/samples.toml`. Pure: the parsed file and the seed come in, records go out.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from msgspec import Struct, convert

from gateway.message.envelope import Delivery, Envelope, delivery_id, uuid7
from gateway.message.message import Attachment, Conversation, Message, Sender, nfc
from gateway.message.receipt import Deferred, Delivered

T = TypeVar("T")
_SLOT = re.compile(r"\{(?:([DHAaB])(\d+)|(name|text))\}")
_LOWER = "abcdefghijklmnopqrstuvwxyz0123456789"
_ALPHABETS = {
    "D": "0123456789",
    "H": "0123456789abcdef",
    "A": _LOWER.upper(),
    "a": _LOWER,
    "B": _LOWER + _LOWER[:26].upper() + "-_",
}
_LATEST = 1_795_000_000


class Shape(Struct, frozen=True):
    """How one platform's fields look; see samples.toml for the slots."""

    channels: tuple[str, ...]
    id: str
    sender: str
    conversation: str
    thread: str
    dedupe: str
    metadata: dict[str, Any]


class Speech(Struct, frozen=True):
    """Pieces of speech in one language: a text is a start, some middles and an end."""

    starts: tuple[str, ...]
    middles: tuple[str, ...]
    ends: tuple[str, ...]


class People(Struct, frozen=True):
    """Names of people and of rooms."""

    names: tuple[str, ...]
    titles: tuple[str, ...]


class Notes(Struct, frozen=True):
    """What notes about a message's walk say."""

    why: tuple[str, ...]
    stages: tuple[str, ...]


class Material(Struct, frozen=True):
    """All of samples.toml."""

    platforms: dict[str, Shape]
    people: People
    speech: dict[str, Speech]
    replies: Speech
    notes: Notes


def read_material(tables: dict[str, Any]) -> Material:
    """Take the tables of samples.toml. Raises msgspec.ValidationError where one is not as described there."""
    return convert(tables, Material)


def samples(material: Material, seed: int, count: int) -> Iterator[Struct]:
    """Yield `count` records: envelopes, deliveries and notes, as the journal would be given them."""
    dice = _Dice(seed)
    platforms = sorted(material.platforms)
    for number in range(count):
        envelope = _envelope(material, dice, platforms[number % len(platforms)])
        match number % 5:
            case 0 | 1 | 2:
                yield envelope
            case 3:
                yield _delivery(material, dice, envelope)
            case _:
                yield _note(material, dice)


class _Dice:
    """Chances from a seed. Built on `random()` alone, the only method that Python keeps the same for ever."""

    def __init__(self, seed: int) -> None:
        self.roll = random.Random(seed).random

    def pick(self, choices: Sequence[T]) -> T:
        return choices[int(self.roll() * len(choices))]

    def often(self, chance: float) -> bool:
        return self.roll() < chance

    def token(self, alphabet: str, length: int) -> str:
        return "".join(self.pick(_ALPHABETS[alphabet]) for _ in range(length))

    def octets(self, length: int) -> bytes:
        return bytes(int(self.roll() * 256) for _ in range(length))


def _envelope(material: Material, dice: _Dice, platform: str) -> Envelope:
    received = _LATEST - dice.roll() * 9e7
    return Envelope(
        id=uuid7(received, dice.octets(10)),
        message=_message(material, dice, platform, int(received)),
        received_at=received,
        deadline=received + 0.2,
        trace=f"00-{dice.token('H', 32)}-{dice.token('H', 16)}-01" if dice.often(0.5) else "",
        tags=("urgent",) if dice.often(0.1) else (),
    )


def _message(material: Material, dice: _Dice, platform: str, now: int) -> Message:
    shape = material.platforms[platform]
    name, text = dice.pick(material.people.names), _text(dice, dice.pick(tuple(material.speech.values())))
    group = dice.often(0.5)
    title = dice.pick(material.people.titles) if group else ""
    thread = _fill(dice, shape.thread) if dice.often(0.3) else ""
    return Message(
        channel=dice.pick(shape.channels),
        id=_fill(dice, shape.id),
        platform=platform,
        type="image" if (image := dice.often(0.08)) else "text",
        action="edit" if dice.often(0.05) else "new",
        content=text,
        sender=Sender(_fill(dice, shape.sender), name),
        dedupe_key=_fill(dice, shape.dedupe),
        conversation=Conversation(_fill(dice, shape.conversation), "group" if group else "direct", thread, title),
        mentions_me=group,
        attachments=(_attachment(dice),) if image else (),
        reply_to=_fill(dice, shape.id) if dice.often(0.15) else "",
        sent_at=float(now),
        metadata=_metadata(dice, shape.metadata, name, text),
    )


def _attachment(dice: _Dice) -> Attachment:
    mime, name = dice.pick((("image/jpeg", "IMG_{D4}.jpg"), ("image/png", "screenshot-{D6}.png")))
    url = f"https://files.example.com/{_fill(dice, '{H32}')}"
    return Attachment("image", mime, _fill(dice, name), int(dice.roll() * 4e6), url)


def _delivery(material: Material, dice: _Dice, envelope: Envelope) -> Delivery:
    asked = envelope.message
    reply = Message(
        channel=asked.channel,
        platform=asked.platform,
        content=_text(dice, material.replies),
        conversation=asked.conversation,
        reply_to=asked.id,
    )
    return Delivery(
        id=delivery_id(envelope.id, 0),
        envelope_id=envelope.id,
        message=reply,
        created_at=envelope.received_at + dice.roll(),
        expires_at=envelope.received_at + 86_400,
    )


def _note(material: Material, dice: _Dice) -> Struct:
    if dice.often(0.6):
        shape = dice.pick(tuple(material.platforms.values()))
        return Delivered(_fill(dice, shape.id))
    why = f"{dice.pick(material.notes.stages)}: {dice.pick(material.notes.why)}"
    return Deferred(why, 30.0 if dice.often(0.3) else None)


def _text(dice: _Dice, speech: Speech) -> str:
    if dice.often(0.15):
        return nfc(dice.pick(speech.ends))
    middles = "".join(dice.pick(speech.middles) for _ in range(1 + int(dice.roll() * dice.roll() * 5)))
    start = dice.pick(speech.starts) if dice.often(0.7) else ""
    end = dice.pick(speech.ends) if dice.often(0.6) else ""
    return nfc((start + middles + end).strip())


def _metadata(dice: _Dice, shape: Any, name: str, text: str) -> Any:
    match shape:
        case dict():
            return {key: _metadata(dice, value, name, text) for key, value in shape.items()}
        case list():
            return [_metadata(dice, value, name, text) for value in shape]
        case str():
            filled = _fill(dice, shape, name=name, text=text)
            return int(filled[1:]) if shape.startswith("#") else filled
        case _:
            return shape


def _fill(dice: _Dice, shape: str, **words: str) -> str:
    def slot(found: re.Match[str]) -> str:
        return dice.token(found[1], int(found[2])) if found[1] else words[found[3]]

    return _SLOT.sub(slot, shape)
