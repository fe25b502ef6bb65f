"""A secret is read from where it is kept, and never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.secret import Secret, SecretStore, name
from gateway.errors import SettingError


def test_a_secret_is_read_from_a_variable_a_file_or_a_credential(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from a file\n", "utf-8")
    (tmp_path / "cred").mkdir()
    (tmp_path / "cred" / "key").write_text("from systemd", "utf-8")
    store = SecretStore(tmp_path, {"TOKEN": "from a variable\n", "CREDENTIALS_DIRECTORY": str(tmp_path / "cred")})
    assert store.read("env:TOKEN", "x").reveal() == "from a variable"
    assert store.read("file:token", "x").reveal() == "from a file"
    assert store.read(f"file:{tmp_path / 'token'}", "x").reveal() == "from a file"
    assert store.read("credential:key", "x").reveal() == "from systemd"


def test_what_surrounds_a_secret_is_none_of_it(tmp_path: Path) -> None:
    (tmp_path / "windows").write_bytes(b"\xef\xbb\xbfhunter2\r\n")
    store = SecretStore(tmp_path, {"TOKEN": "hunter2\n", "BLANK": " \n"})
    assert store.read("env:TOKEN", "x").reveal() == "hunter2"
    assert store.read("file:windows", "x").reveal() == "hunter2"
    with pytest.raises(SettingError, match="BLANK, which is empty"):
        store.read("env:BLANK", "x")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("env:GONE", "GONE, which is unset"),
        ("env:EMPTY", "EMPTY, which is empty"),
        ("env:BLANK", "BLANK, which is empty"),
        ("file:gone", "No such file"),
        ("file:empty", "which is empty"),
        ("file:binary", "not UTF-8"),
        ("credential:key", "LoadCredential=key"),
    ],
)
def test_a_missing_secret_says_how_to_supply_it(tmp_path: Path, source: str, said: str) -> None:
    (tmp_path / "empty").write_text("\n", "utf-8")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingError) as caught:
        SecretStore(tmp_path, {"EMPTY": "", "BLANK": " \n"}).read(source, "channels.x.token")
    assert caught.value.place == "channels.x.token"
    assert said in str(caught.value)


def test_a_secret_is_another_when_its_value_is(tmp_path: Path) -> None:
    store = SecretStore(tmp_path, {})
    (tmp_path / "token").write_text("one", "utf-8")
    before = store.read("file:token", "x")
    assert (store.read("file:token", "x"), hash(store.read("file:token", "x"))) == (before, hash(before))
    (tmp_path / "token").write_text("two", "utf-8")
    assert store.read("file:token", "x") != before


def test_a_secret_never_shows_its_value() -> None:
    secret = Secret("env:TOKEN", "hunter2")
    assert "hunter2" not in repr(secret) + str(secret) + f"{secret}"
    assert repr(secret) == repr(name("env:TOKEN", "x"))
    with pytest.raises(SettingError, match="not supplied"):
        name("env:TOKEN", "x").reveal()


def test_beside_the_service_a_credential_is_named_and_not_read(tmp_path: Path) -> None:
    beside = SecretStore(tmp_path, {"TOKEN": "t"}, beside=True)
    assert not beside.read("credential:key", "x").known
    assert beside.read("env:TOKEN", "x").reveal() == "t"
    with pytest.raises(SettingError, match="No such file"):
        SecretStore(tmp_path, {"CREDENTIALS_DIRECTORY": str(tmp_path)}, beside=True).read("credential:key", "x")
