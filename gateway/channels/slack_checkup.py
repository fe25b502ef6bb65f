"""What `oclaw doctor` tries: the bot token, its scopes, and for Socket Mode an address for a connection."""

from __future__ import annotations

from collections.abc import Callable

from gateway.channels.shared.errors import ConnectionLost
from gateway.channels.slack_api import NotAnswered, Said, WebApi
from gateway.channels.slack_fields import text
from gateway.channels.slack_settings import Settings
from gateway.channels.slack_socket import SocketMode
from gateway.errors import SettingError
from gateway.ports import Finding

_HISTORY = frozenset(("channels:history", "groups:history", "im:history", "mpim:history"))
_ROOMS = frozenset(("channels:read", "groups:read", "im:read", "mpim:read"))


async def checkup(api: WebApi, socket: SocketMode | None, settings: Settings, tell: Callable[[Finding], None]) -> None:
    """Try one thing after another. Asks only; nothing is posted."""
    try:
        said = await api.call("auth.test", {}, form=True)
    except NotAnswered as unheard:
        tell(_bad(f"Slack's API at {settings.base_url} is not reached: {unheard}", "Look at base_url and DNS."))
        return
    if not said.ok:
        way_out = "Install the app in the workspace and take its bot token (xoxb-…)."
        tell(_bad(f"Slack does not take the bot token: {said.error}", way_out))
        return
    tell(_good(f"The bot is {text(said.document, 'user')} in {text(said.document, 'team')}."))
    for finding in _scopes(said, settings):
        tell(finding)
    if socket is not None:
        tell(await _connection(socket))


def _scopes(said: Said, settings: Settings) -> list[Finding]:
    given = {each.strip() for each in said.scopes.split(",") if each.strip()}
    if not given:
        return []
    findings = [_scope("chat:write", "to answer", given)]
    if settings.look_up:
        what = "history scopes, to look up whether an answer arrived"
        without = "Without one, answers to those conversations that may have arrived wait for a person."
        findings.append(_scopes_of(_HISTORY - given, what, without))
    if settings.mode == "socket":
        what = "scopes to read what was said while no connection stood"
        findings.append(_scopes_of((_ROOMS | _HISTORY) - given, what, "Without one, it is not heard."))
    for scope, what in (
        ("im:write", "to answer where a person and no conversation is named"),
        ("files:read", "to take files"),
        ("files:write", "to send files"),
        ("reactions:write", "to react"),
    ):
        findings.append(_scope(scope, what, given))
    return findings


def _scopes_of(missing: frozenset[str] | set[str], what: str, without: str) -> Finding:
    return _bad(what, f"{_add(', '.join(sorted(missing)))} {without}") if missing else _good(what)


def _scope(scope: str, what: str, given: set[str]) -> Finding:
    return _good(f"{scope}, {what}") if scope in given else _bad(f"{scope} is missing, {what}", _add(scope))


def _good(what: str) -> Finding:
    return Finding(ok=True, what=what)


def _bad(what: str, way_out: str) -> Finding:
    return Finding(ok=False, what=what, way_out=way_out)


def _add(scope: str) -> str:
    return f"Add {scope} to the app's bot scopes and install it again, or do without."


async def _connection(socket: SocketMode) -> Finding:
    try:
        await socket.address()
    except SettingError as error:
        return _bad(str(error), "Make an app-level token with connections:write and switch Socket Mode on.")
    except ConnectionLost as lost:
        return _bad(f"No connection is given: {lost.why}", "Try again; Slack may be down.")
    return _good("Socket Mode gives a connection.")
