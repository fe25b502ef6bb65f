"""The short way into libsodium gives what the long way gives, and takes nothing of the wrong length."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_encrypt

from gateway.message.aead import decryptor, encryptor

octets = st.binary(max_size=500)


@given(octets, st.binary(min_size=1, max_size=100), st.binary(min_size=24, max_size=24), st.integers(0, 255))
def test_both_ways_agree(plain, associated, nonce, filling):
    key = bytes([filling]) * 32
    sealed = bytes(encryptor(key)(plain, associated, nonce))
    assert sealed == crypto_aead_xchacha20poly1305_ietf_encrypt(plain, associated, nonce, key)
    assert decryptor(key)(b"head" + sealed, 4, associated, nonce) == plain
    assert decryptor(key)(sealed, 0, associated + b"x", nonce) is None
    assert decryptor(key)(sealed[:15], 0, associated, nonce) is None


def test_the_published_example_comes_out():
    # draft-irtf-cfrg-xchacha-03, appendix A.3.1
    plain = (
        b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
        b"sunscreen would be it."
    )
    sealed = encryptor(bytes(range(0x80, 0xA0)))(
        plain, bytes.fromhex("50515253c0c1c2c3c4c5c6c7"), bytes(range(0x40, 0x58))
    )
    assert sealed[:16].hex() == "bd6d179d3e83d43b9576579493c0e939"
    assert sealed[-16:].hex() == "c0875924c1c7987947deafd8780acf49"


@pytest.mark.parametrize("key", [bytes(31), bytes(33), b"", bytearray(32)])
def test_a_key_of_the_wrong_length_is_refused(key):
    for make in (encryptor, decryptor):
        with pytest.raises(ValueError, match="32 bytes"):
            make(key)


@pytest.mark.parametrize("nonce", [bytes(23), bytes(25), b"", bytearray(24)])
def test_a_nonce_of_the_wrong_length_is_refused(nonce):
    with pytest.raises(ValueError, match="24 bytes"):
        encryptor(bytes(32))(b"", b"x", nonce)
    with pytest.raises(ValueError, match="24 bytes"):
        decryptor(bytes(32))(bytes(16), 0, b"x", nonce)
