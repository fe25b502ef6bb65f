"""Train a zstd dictionary: `python -m gateway.message.train OUT [--from MESSAGES] [--seed N]`.

Without `--from` it makes the shipped dictionary, byte for byte, out of `dictionaries/samples.toml`.
With it, the operator's own messages (one JSON object a line, as `oclaw tail --json` prints their
`message`) join the samples. What is trained is never put in place of another: give it a new name.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from gateway.message.dictionary import Dictionary
from gateway.message.message import Message
from gateway.message.samples import read_material, samples
from gateway.newfile import write_new

SEED = 1
SAMPLES = 12_000
# Measured on records from another seed: 16 KiB gives 185 bytes, 32 KiB 175, 112 KiB 174.
DICTIONARY_BYTES = 32 * 1024
MATERIAL = Path(__file__).parent / "dictionaries" / "samples.toml"
# RFC 8878, section 5: ids below 32768 and from 2**31 on are reserved.
_FIRST_ID, _LAST_ID = 32_768, 2**31 - 1
# Left to itself zstd tries many segment sizes; 200 bytes with 8-byte words came out best and takes 0.1 s.
_SEGMENT_BYTES, _WORD_BYTES = 200, 8


def shipped_records(seed: int = SEED) -> list[bytes]:
    """Return the msgpack records that the shipped dictionary is trained on."""
    material = read_material(tomllib.loads(MATERIAL.read_text("utf-8")))
    return [msgspec.msgpack.encode(record) for record in samples(material, seed, SAMPLES)]


def train(records: Sequence[bytes]) -> Dictionary:
    """Train on records; the same records give the same dictionary, whose id follows from them."""
    import zstandard

    digest = hashlib.blake2b(b"".join(records), digest_size=8).digest()
    number = _FIRST_ID + int.from_bytes(digest, "big") % (_LAST_ID - _FIRST_ID)
    trained = zstandard.train_dictionary(
        DICTIONARY_BYTES, list(records), k=_SEGMENT_BYTES, d=_WORD_BYTES, dict_id=number
    )
    return Dictionary(number, trained.as_bytes())


def own_records(lines: Iterable[str]) -> list[bytes]:
    """Turn lines of JSON messages into records. Raises `ValueError` naming the first line that is no message."""
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            records.append(msgspec.msgpack.encode(msgspec.json.decode(line, type=Message)))
        except (msgspec.DecodeError, UnicodeEncodeError) as error:
            raise ValueError(f"line {number} is no message: {error}") from error
    return records


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 when the dictionary is written, 1 with a sentence on stderr when it is not."""
    options = _options().parse_args(arguments)
    try:
        records = shipped_records(options.seed)
        if options.own is not None:
            with options.own.open(encoding="utf-8") as lines:
                # Own messages weigh as much as the samples, however few they are.
                own = own_records(lines)
                records += own * max(1, len(records) // max(1, len(own)))
        dictionary = train(records)
        write_new(options.out, dictionary.content)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"No dictionary was made: {error}.\n")
        return 1
    sys.stdout.write(f"{options.out}: dictionary {dictionary.id}, {len(dictionary.content)} bytes\n")
    return 0


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m gateway.message.train", description="Train a zstd dictionary.")
    parser.add_argument("out", type=Path, help="the new file, *.zdict; one that exists is never replaced")
    parser.add_argument("--from", dest="own", type=Path, help="own messages, one JSON object a line")
    parser.add_argument("--seed", type=int, default=SEED, help="which samples are made")
    return parser


if __name__ == "__main__":
    sys.exit(main())
