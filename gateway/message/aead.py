"""XChaCha20-Poly1305 by the shortest way into libsodium.

PyNaCl's own wrapper checks every argument and copies twice: 4 us more a call, as much as all the
rest of sealing a message. Its compiled module is called directly instead, so the lengths that
libsodium relies on are checked here, once a key and once a nonce.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 24
TAG_BYTES: Final = 16

Encrypt = Callable[[bytes, bytes, bytes], bytearray]
Decrypt = Callable[[bytes, int, bytes, bytes], bytearray | None]


def encryptor(key: bytes) -> Encrypt:
    """Return `encrypt(plain, associated, nonce)`, which gives the ciphertext with its tag at the end."""
    from nacl._sodium import ffi, lib

    _prepare(key)
    call, from_buffer, null = lib.crypto_aead_xchacha20poly1305_ietf_encrypt, ffi.from_buffer, ffi.NULL

    def encrypt(plain: bytes, associated: bytes, nonce: bytes) -> bytearray:
        if type(nonce) is not bytes or len(nonce) != NONCE_BYTES:
            raise ValueError(f"a nonce has {NONCE_BYTES} bytes")
        length = len(plain)
        out = bytearray(length + TAG_BYTES)
        # Cannot fail: the only error libsodium has is a message of 256 GiB.
        call(from_buffer(out), null, plain, length, associated, len(associated), null, nonce, key)
        return out

    return encrypt


def decryptor(key: bytes) -> Decrypt:
    """Return `decrypt(sealed, start, associated, nonce)` for what stands from `start` on; None for a forgery."""
    from nacl._sodium import ffi, lib

    _prepare(key)
    call, from_buffer, null = lib.crypto_aead_xchacha20poly1305_ietf_decrypt, ffi.from_buffer, ffi.NULL

    def decrypt(sealed: bytes, start: int, associated: bytes, nonce: bytes) -> bytearray | None:
        if type(nonce) is not bytes or len(nonce) != NONCE_BYTES:
            raise ValueError(f"a nonce has {NONCE_BYTES} bytes")
        length = len(sealed) - start
        if length < TAG_BYTES:
            return None
        out = bytearray(length - TAG_BYTES)
        source = from_buffer(sealed) + start
        forged = call(from_buffer(out), null, null, source, length, associated, len(associated), nonce, key)
        return None if forged else out

    return decrypt


def _prepare(key: bytes) -> None:
    from nacl.bindings import sodium_init

    sodium_init()  # picks the fastest code this processor has
    if not isinstance(key, bytes) or len(key) != KEY_BYTES:
        raise ValueError(f"a key has {KEY_BYTES} bytes")
