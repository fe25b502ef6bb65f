"""A secret: named in oclaw.toml, read from elsewhere, never shown.

A setting of type `Secret` holds `env:NAME`, `file:PATH` or `credential:NAME` (a file in
systemd's `$CREDENTIALS_DIRECTORY`). The value is read once, while the configuration is
loaded; `repr`, logs and error messages only ever show where it comes from.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gateway.errors import SettingError
from gateway.plainfile import read_plain_text

HOW = "env:NAME, file:PATH or credential:NAME, which say where the secret is kept"


class Secret:
    """Where a secret is kept and, once read, its value. Equal when both are."""

    __slots__ = ("_value", "source")

    def __init__(self, source: str, value: str | None = None) -> None:
        self.source, self._value = source, value

    @property
    def known(self) -> bool:
        """Whether the value was supplied."""
        return self._value is not None

    def reveal(self) -> str:
        """Return the value; raises `SettingError` when it was not supplied (as of a channel switched off)."""
        if self._value is None:
            raise SettingError(self.source, found="not supplied", wanted="set before it is used")
        return self._value

    def __repr__(self) -> str:
        return f"Secret({self.source!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and (other.source, other._value) == (self.source, self._value)

    def __hash__(self) -> int:
        return hash(self.source)


class SecretStore:
    """Reads secrets out of the environment, files and credentials, without white space around them.

    `directory` is where relative paths start.
    `beside` the service, credentials are named and not read: systemd passes them to the service alone.
    """

    def __init__(self, directory: Path, environment: Mapping[str, str], *, beside: bool = False) -> None:
        self._directory, self._environment = directory, environment
        self._credentials = environment.get("CREDENTIALS_DIRECTORY", "")
        self._unread = beside and not self._credentials

    def read(self, text: object, place: str) -> Secret:
        """Return the secret that `text` names, with its value; raises `SettingError` saying how to supply it."""
        secret = name(text, place)
        kind, _, where = secret.source.partition(":")
        match kind:
            case "env":
                value = self._variable(where, place)
            case "file":
                value = self._file(self._directory / where, place, f"the file {where}")
            case _ if self._unread:
                return secret
            case _:
                value = self._credential(where, place)
        return Secret(secret.source, value)

    def _variable(self, variable: str, place: str) -> str:
        # A line break at the end is what `echo token | base64` puts into a container's secrets.
        value = self._environment.get(variable, "").strip()
        if value:
            return value
        found = f"the environment variable {variable}, which is " + (
            "empty" if variable in self._environment else "unset"
        )
        raise SettingError(place, found=found, wanted="a secret with a value", hint=f"Set {variable} and start again.")

    def _credential(self, credential: str, place: str) -> str:
        if self._credentials:
            return self._file(Path(self._credentials) / credential, place, f"the credential {credential}")
        raise SettingError(
            place,
            found=f"the credential {credential}, but systemd passed no credentials",
            wanted="a secret with a value",
            hint=f"Add LoadCredential={credential}:/path/to/file to the unit, or use env: or file:.",
        )

    def _file(self, path: Path, place: str, what: str) -> str:
        try:
            value = read_plain_text(path).strip()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
            hint = f"Put the secret, and nothing else, into {path}."
            raise SettingError(place, found=f"{what}: {why}", wanted="a readable secret", hint=hint) from error
        if value:
            return value
        raise SettingError(place, found=f"{what}, which is empty", wanted="a secret with a value")


def name(text: object, place: str) -> Secret:
    """Return the secret `text` names without reading it; raises `SettingError` for a secret written out in the file."""
    if isinstance(text, str):
        kind, colon, where = text.partition(":")
        if colon and where and kind in ("env", "file", "credential"):
            return Secret(text)
    hint = f'Move it out of the file, for example into a variable: {place.rpartition(".")[2]} = "env:NAME".'
    raise SettingError(place, found="a secret written out in the file", wanted=HOW, hint=hint)
