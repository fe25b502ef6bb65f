"""Where the gateway keeps what it writes: never in the configuration folder.

State: systemd's `$STATE_DIRECTORY`, else `[gateway] state_dir`, else a folder of its own
below the XDG state folder. Control socket: systemd's `$RUNTIME_DIRECTORY`, else
`$XDG_RUNTIME_DIR/oclaw`, else /tmp/oclaw-UID. Both carry a digest of the configuration
folder's path, so that two gateways of one user do not meet.

A command that is typed beside the service has none of systemd's variables: it looks where
our unit lets systemd put things.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from gateway.errors import SettingError

# ConfigurationDirectory=, StateDirectory= and RuntimeDirectory= of the unit.
SYSTEMD_CONFIG = Path("/etc/oclaw")
SYSTEMD_STATE = Path("/var/lib/oclaw")
SYSTEMD_RUNTIME = Path("/run/oclaw")


def state_dir(directory: Path, setting: str, environment: Mapping[str, str]) -> Path:
    """Return the state folder (not made yet); raises `SettingError` for one inside the configuration folder."""
    given = environment.get("STATE_DIRECTORY", "").partition(":")[0]
    if given:
        return Path(given)
    if not setting:
        home = environment.get("XDG_STATE_HOME", "") or Path(environment.get("HOME", "~"), ".local/state")
        own = _at_home(Path(home), "unset, and this user has no home folder")
        return own / "oclaw" / f"{directory.resolve().name}-{digest(directory)}"
    own = _at_home(Path(setting), f'"{setting}", where nobody is at home')
    path = Path(os.path.normpath(directory.resolve() / own))
    if path.is_relative_to(directory.resolve()):
        wanted = "outside the folder of oclaw.toml, in which nothing is written"
        raise SettingError("gateway.state_dir", found=f'"{setting}"', wanted=wanted)
    return path


def state_beside(directory: Path, setting: str, environment: Mapping[str, str]) -> Path:
    """Return where a tool finds the state: where systemd keeps the service's, if this is its configuration."""
    own = state_dir(directory, setting, environment)
    if environment.get("STATE_DIRECTORY") or (setting and os.access(own, os.F_OK)) or not _is_the_services(directory):
        return own
    return SYSTEMD_STATE


def control_socket(directory: Path, environment: Mapping[str, str]) -> Path:
    """Return where the daemon opens the control socket of this configuration."""
    return runtime_dir(environment) / _socket_name(directory)


def control_sockets(directory: Path, environment: Mapping[str, str]) -> list[Path]:
    """Return where a client looks for it: its own place first, then where systemd puts the service's."""
    name, own = _socket_name(directory), runtime_dir(environment)
    # In /tmp anybody may put a folder of that name, and would be told what is meant for the gateway.
    return [folder / name for folder in (own, SYSTEMD_RUNTIME) if folder is not own or is_ours(own, environment)]


def is_ours(folder: Path, environment: Mapping[str, str]) -> bool:
    """Say whether the folder of the control socket may be trusted: it was named to us, or nobody else can write it."""
    if environment.get("RUNTIME_DIRECTORY") or environment.get("XDG_RUNTIME_DIR"):
        return True
    try:
        seen = folder.lstat()
    except OSError:
        return False
    return seen.st_uid == os.getuid() and not seen.st_mode & 0o022


def runtime_dir(environment: Mapping[str, str]) -> Path:
    """Return the folder of the control socket (not made yet)."""
    given = environment.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    if given:
        return Path(given)
    session = environment.get("XDG_RUNTIME_DIR", "")
    return Path(session) / "oclaw" if session else Path(f"/tmp/oclaw-{os.getuid()}")


def digest(directory: Path) -> str:
    """Return a short name for a configuration folder."""
    return hashlib.blake2b(os.fsencode(directory.resolve()), digest_size=4).hexdigest()


def _at_home(path: Path, found: str) -> Path:
    try:
        return path.expanduser()
    except RuntimeError:  # a user of a container mostly has no entry in /etc/passwd, and whom ~NAME names may have none
        raise SettingError("gateway.state_dir", found=found, wanted="a folder that the gateway may write") from None


def _socket_name(directory: Path) -> str:
    # A Unix socket's path may have 107 bytes, so the folder is named by digest, not by path.
    return f"control-{digest(directory)}.sock"


def _is_the_services(directory: Path) -> bool:
    # Not followed: with DynamicUser it is a link to where only root and the service may look.
    named = directory.resolve() == SYSTEMD_CONFIG.resolve()
    runs = os.path.lexists(SYSTEMD_RUNTIME / _socket_name(directory))
    return (named or runs) and os.path.lexists(SYSTEMD_STATE)
