"""Whether the certificate of [listen] can be shown, and for how long."""

from __future__ import annotations

import time

from gateway.config.settings import Settings
from gateway.daemon.certificate import lasting, tls_context, tls_files
from gateway.errors import SettingErrors
from gateway.ports import Finding

_DAY_SECONDS = 86_400
# Certificates of 90 days are renewed 30 days before their end; one of a week is never that far from it.
_SOON_DAYS = 21
_LAST_PART = 3
_RENEW = "Renew it, then oclaw reload; your ACME client should have done both."


def certificate(settings: Settings, now: float) -> list[Finding]:
    """Say what is wrong with certificate, key and authorities, or how many days are left; nothing without TLS."""
    files = tls_files(settings)
    if not files:
        return []
    try:
        tls_context(settings)
        lasts = lasting(files[0].read_bytes())
    except (SettingErrors, OSError) as error:
        return [Finding(ok=False, what=str(error), way_out="The gateway does not start with it.")]
    if lasts is None:
        what = f"{files[0]} can be shown; when it runs out cannot be read"
        return [Finding(ok=True, what=what)]
    until = time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(lasts.ends_at))
    left = lasts.ends_at - now
    if left <= 0:
        what = f"{files[0]} has run out, on {until}: nobody trusts it any more"
        return [Finding(ok=False, what=what, way_out=_RENEW)]
    if lasts.begins_at > now:
        begins = time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(lasts.begins_at))
        what = f"{files[0]} counts from {begins} on only"
        return [Finding(ok=False, what=what, way_out="Look at the clock, here and where it was issued.")]
    what = f"{files[0]} lasts {left / _DAY_SECONDS:.0f} days more, until {until}"
    soon = min(_SOON_DAYS * _DAY_SECONDS, (lasts.ends_at - lasts.begins_at) / _LAST_PART)
    return [Finding(ok=True, what=what, way_out=_RENEW if left < soon else "")]
