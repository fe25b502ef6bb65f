"""The file that introduces the gateway to a homeserver; it holds both tokens."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

_FORM = """\
# Introduces this gateway to a Matrix homeserver. Synapse: add this file to app_service_config_files and restart it.
# Both tokens are secrets; oclaw.toml says where the gateway reads them (MATRIX_HS_TOKEN and MATRIX_AS_TOKEN at first).
id: {id}
# Where the homeserver reaches the gateway; with several homeservers, http://HOST:PORT/channels/<name of the section>.
url: {url}
hs_token: {hs_token}
as_token: {as_token}
sender_localpart: {bot}
# Not held to the limits that people are held to.
rate_limited: false
namespaces:
  users: [{users}]
  aliases: []
  rooms: []
"""


def registration(
    *,
    id: str,
    url: str,
    hs_token: str,
    as_token: str,
    bot_localpart: str,
    server_name: str,
    ghosts: Iterable[str] = (),
) -> str:
    """Return the text of a registration file. JSON strings are YAML strings, whatever they hold."""
    own = f"@{re.escape(bot_localpart)}:{re.escape(server_name)}"
    users = ", ".join(f"{{exclusive: true, regex: {json.dumps(each)}}}" for each in (own, *ghosts))
    texts = {"id": id, "url": url, "hs_token": hs_token, "as_token": as_token, "bot": bot_localpart}
    return _FORM.format(users=users, **{name: json.dumps(text) for name, text in texts.items()})
