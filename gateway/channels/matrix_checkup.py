"""What `oclaw doctor` tries: is the homeserver there, does it know us, does it reach this gateway."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.channels.matrix_homeserver import CLIENT, Homeserver, ping_path
from gateway.channels.matrix_settings import Settings
from gateway.ports import Finding


async def checkup(settings: Settings, homeserver: Homeserver, tell: Callable[[Finding], None]) -> None:
    """Try what a session needs, step by step; stops where the next step cannot work. The caller sets the deadline."""

    def found(what: str, way_out: str = "", *, ok: bool) -> bool:
        tell(Finding(ok, what, "" if ok else way_out))
        return ok

    versions = await homeserver.call("GET", "/_matrix/client/versions")
    if not found(f"{settings.homeserver_url} answers {versions.status}", "Correct homeserver_url.", ok=versions.ok):
        return
    known = await homeserver.call("GET", f"{CLIENT}/account/whoami")
    way_out = "as_token must be that of the registration file, and the homeserver restarted since it was added."
    if not found("the homeserver knows as_token" if known.ok else known.words, way_out, ok=known.ok):
        return
    who: Any = known.told.get("user_id")
    way_out = f"bot_localpart and server_name say {settings.bot}; the registration's sender_localpart says otherwise."
    found(f"we are {who}", way_out, ok=who == settings.bot)
    pinged = await homeserver.call("POST", ping_path(settings), {"transaction_id": "doctor"})
    reached = f"the homeserver reaches this gateway in {pinged.told.get('duration_ms')} ms"
    way_out = "The gateway must be running, and the registration's url lead to it from where the homeserver is."
    found(reached if pinged.ok else pinged.words, way_out, ok=pinged.ok)
    rooms: Any = (await homeserver.call("GET", f"{CLIENT}/joined_rooms")).told.get("joined_rooms")
    found(f"a member of {len(rooms) if type(rooms) is list else 0} rooms", ok=True)
