"""Standard Webhooks signatures: is this request from who it claims, and how do we sign ours.

Pure; knows nothing of channels. The signed text is `{id}.{timestamp}.{raw body}`, `v1` is
HMAC-SHA256 and `v1a` Ed25519 (Standard Webhooks 1.0). Svix sends the same under `svix-` names.
Several secrets may be valid at once, so that they can be rotated without a gap.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterable, Sequence
from hmac import compare_digest, digest
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from protocols.http1.headers import Headers

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

_FAMILIES = (
    (b"webhook-id", b"webhook-timestamp", b"webhook-signature"),
    (b"svix-id", b"svix-timestamp", b"svix-signature"),
)
# A sender that rotates signs with two secrets; more than this is somebody making us compute.
_MOST_SIGNATURES = 8
# Ids are UUIDs or ULIDs with a prefix; the dedupe key and the logs carry them.
_LONGEST_ID = 256
# Ten digits of seconds reach the year 2286.
_LONGEST_TIMESTAMP = 11
# Keys of 24 to 64 bytes, says Standard Webhooks; below, guessing starts to be a matter of money.
_SHORTEST_KEY, _LONGEST_KEY = 24, 64


class Genuine(Struct, frozen=True):
    """The request is signed by one of the secrets, and fresh. `id` is the same in every redelivery."""

    id: str


class Forged(Struct, frozen=True):
    """The request is not to be believed; `reason` is a fixed word for counting, `why` a sentence for the sender."""

    reason: str
    why: str


class BadSecret(ValueError):
    """A secret is not of the form Standard Webhooks gives them; the message says what is wrong."""


class VerifyingKey(Protocol):
    """One secret, ready to check with."""

    version: bytes

    def matches(self, signed: bytes, signature: bytes) -> bool: ...


class SigningKey(Protocol):
    """One secret, ready to sign with."""

    def sign(self, signed: bytes) -> str: ...


class SharedKey:
    """`whsec_…`: HMAC-SHA256, the same key on both sides."""

    version = b"v1"

    def __init__(self, key: bytes) -> None:
        self._key = key

    def matches(self, signed: bytes, signature: bytes) -> bool:
        return compare_digest(b64encode(digest(self._key, signed, "sha256")), signature)

    def sign(self, signed: bytes) -> str:
        return "v1," + b64encode(digest(self._key, signed, "sha256")).decode("ascii")


class PublicKey:
    """`whpk_…`: checks Ed25519 signatures of a sender that keeps its private key."""

    version = b"v1a"

    def __init__(self, key: Ed25519PublicKey) -> None:
        self._key = key

    def matches(self, signed: bytes, signature: bytes) -> bool:
        from cryptography.exceptions import InvalidSignature

        try:
            self._key.verify(b64decode(signature, validate=True), signed)
        except (InvalidSignature, Base64Error, ValueError):
            return False
        return True


class PrivateKey:
    """`whsk_…`: signs with Ed25519."""

    def __init__(self, seed: bytes) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        self._key = Ed25519PrivateKey.from_private_bytes(seed)

    def sign(self, signed: bytes) -> str:
        return "v1a," + b64encode(self._key.sign(signed)).decode("ascii")


def verifying_key(secret: str) -> VerifyingKey:
    """Read `whsec_…` or `whpk_…`. Raises BadSecret."""
    if secret.startswith("whpk_"):
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        return PublicKey(Ed25519PublicKey.from_public_bytes(_exactly(32, _bytes_of(secret, "whpk_"))))
    if secret.startswith("whsk_"):
        raise BadSecret("a private key (whsk_); a receiver takes the sender's public key (whpk_)")
    return SharedKey(_shared(secret))


def signing_key(secret: str) -> SigningKey:
    """Read `whsec_…` or `whsk_…` (a seed of 32 bytes, or seed and public key). Raises BadSecret."""
    if secret.startswith("whsk_"):
        return PrivateKey(_exactly(32, _bytes_of(secret, "whsk_")[:32]))
    if secret.startswith("whpk_"):
        raise BadSecret("a public key (whpk_); a sender signs with its private key (whsk_)")
    return SharedKey(_shared(secret))


def verify(
    headers: Headers, body: bytes, keys: Iterable[VerifyingKey], *, now: float, tolerance: float
) -> Genuine | Forged:
    """Check signature, then window, over the raw bytes. Never raises, whatever the headers hold."""
    index = headers.index
    id_name, time_name, signature_name = _FAMILIES[0] if b"webhook-id" in index else _FAMILIES[1]
    identity, stamp, signatures = index.get(id_name), index.get(time_name), index.get(signature_name)
    if not identity or not stamp or not signatures:
        return Forged("unsigned", "The headers webhook-id, webhook-timestamp and webhook-signature are needed.")
    if len(identity) > _LONGEST_ID or not stamp.isdigit() or len(stamp) > _LONGEST_TIMESTAMP:
        return Forged("bad_signature", "webhook-id is too long, or webhook-timestamp is not in seconds since 1970.")
    if not _signed_by_one(keys, b"%b.%b.%b" % (identity, stamp, body), signatures):
        return Forged("bad_signature", "No signature in webhook-signature matches the id, the time and the body.")
    if abs(now - int(stamp)) > tolerance:
        return Forged("stale", f"webhook-timestamp is more than {tolerance:g} s away from this server's clock.")
    return Genuine(identity.decode("latin-1"))


def signature_headers(
    identity: str, body: bytes, keys: Sequence[SigningKey], *, now: float
) -> tuple[tuple[str, str], ...]:
    """Make the three headers for a request of ours; without keys, the two that need none."""
    stamp = str(int(now))
    named = (("webhook-id", identity), ("webhook-timestamp", stamp))
    if not keys:
        return named
    signed = f"{identity}.{stamp}.".encode() + body
    return (*named, ("webhook-signature", " ".join([key.sign(signed) for key in keys])))


def _signed_by_one(keys: Iterable[VerifyingKey], signed: bytes, signatures: bytes) -> bool:
    candidates = [part.partition(b",") for part in signatures.split(b" ", _MOST_SIGNATURES)[:_MOST_SIGNATURES]]
    return any(
        version == key.version and key.matches(signed, signature)
        for key in keys
        for version, _, signature in candidates
    )


def _shared(secret: str) -> bytes:
    key = _bytes_of(secret, "whsec_")
    if not _SHORTEST_KEY <= len(key) <= _LONGEST_KEY:
        raise BadSecret(f"a key of {len(key)} bytes; Standard Webhooks asks for {_SHORTEST_KEY} to {_LONGEST_KEY}")
    return key


def _bytes_of(secret: str, prefix: str) -> bytes:
    text = secret.removeprefix(prefix)
    try:
        # Some services hand out their secrets without the padding.
        return b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (Base64Error, ValueError) as error:
        raise BadSecret("not base64") from error


def _exactly(length: int, key: bytes) -> bytes:
    if len(key) != length:
        raise BadSecret(f"a key of {len(key)} bytes; Ed25519 keys have {length}")
    return key
