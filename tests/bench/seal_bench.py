"""Measure sealing: `python tests/bench/seal_bench.py [--json]`. Microseconds and bytes for one message.

The message is written by hand and not among the samples that the dictionary is trained on.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import msgspec
import zstandard

from gateway.config.dictionaries import load_dictionaries
from gateway.message.dictionary import Dictionaries
from gateway.message.envelope import Envelope, uuid7
from gateway.message.keyring import new_keyring
from gateway.message.message import Conversation, Message, Sender
from gateway.message.seal import RecordKind, Sealer
from gateway.message.train import shipped_records

MESSAGE = Message(
    channel="customer-desk",
    id="1763830512.004219",
    platform="slack",
    content="Morning all. "
    "Our warehouse scanner in Rotterdam rejects every pallet label printed after 06:00; 物流系统也报错。"
    " Which of you can restart the label service before the lorries arrive?",
    sender=Sender("U07Q2ZK9LMX", "Marijke van Dijk"),
    dedupe_key="Ev09H2J7K1QD",
    conversation=Conversation("C06TT8Z1B4R", "group", "1763830400.000100", "warehouse-ams"),
    mentions_me=True,
    sent_at=1763830512.0,
    metadata={
        "team_id": "T02GHJ8KL",
        "api_app_id": "A05NB7VCX21",
        "event_time": 1763830512,
        "client_msg_id": "9a1b7c52-03de-4f18-a6c7-5d1e2f3a4b5c",
        "channel_type": "channel",
    },
)


def best(call: Callable[[], object], calls: int = 2000, rounds: int = 15) -> float:
    """Return the microseconds of one call in the quietest round."""
    spent = []
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(calls):
            call()
        spent.append(time.perf_counter() - start)
    return min(spent) / calls * 1e6


def main() -> None:
    ring, dictionaries = new_keyring(0, os.urandom), load_dictionaries()
    sealer, plain_zstd = Sealer(ring, dictionaries, os.urandom), Sealer(ring, Dictionaries(), os.urandom)
    name = uuid7(1763830512.2, bytes(10))
    envelope = Envelope(id=name, message=MESSAGE, received_at=1763830512.2, deadline=1763830512.4)
    sealed = sealer.seal(RecordKind.ENVELOPE, name, envelope)
    encoded = msgspec.msgpack.encode(envelope)
    records = shipped_records(2)[:2000]
    seal = best(lambda: sealer.seal(RecordKind.ENVELOPE, name, envelope))
    opened = best(lambda: sealer.open(RecordKind.ENVELOPE, name, sealed, Envelope))
    figures = {
        "seal_us": seal,
        "open_us": opened,
        "seal_and_open_us": seal + opened,
        "digest_us": best(lambda: sealer.digest("lane", "customer-desk", "C06TT8Z1B4R", "1763830400.000100")),
        "make_sealer_us": best(lambda: Sealer(ring, dictionaries, os.urandom), calls=5),
        "message_json_bytes": len(msgspec.json.encode(envelope)),
        "message_msgpack_bytes": len(encoded),
        "message_zstd_bytes": len(zstandard.ZstdCompressor(level=3).compress(encoded)),
        "message_sealed_without_dictionary_bytes": len(plain_zstd.seal(RecordKind.ENVELOPE, name, envelope)),
        "message_sealed_bytes": len(sealed),
        "samples_msgpack_bytes": sum(map(len, records)) / len(records),
        "samples_sealed_without_dictionary_bytes": _mean(plain_zstd, records),
        "samples_sealed_bytes": _mean(sealer, records),
    }
    if "--json" in sys.argv:
        print(json.dumps(figures))
        return
    for figure, value in figures.items():
        print(f"{figure:42} {value:8.1f}")


def _mean(sealer: Sealer, records: list[bytes]) -> float:
    return sum(len(sealer.seal_bytes(RecordKind.NOTE, "x", each)) for each in records) / len(records)


if __name__ == "__main__":
    main()
