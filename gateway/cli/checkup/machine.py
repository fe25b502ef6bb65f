"""Whether this machine gives a gateway what it needs."""

from __future__ import annotations

import importlib.util
import resource
import time

from gateway.ports import Finding

# Listeners, journal, control socket, pooled connections out.
_SPARE_FILES = 256
# Messages carry dates; a clock that is years off means that certificates and signatures fail too.
_EARLIEST = 1_767_225_600  # 2026-01-01


def files(connections: int) -> Finding:
    """Compare the limit of open files, to which the gateway raises its own, with how many connections are allowed."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if most >= connections + _SPARE_FILES:
        return Finding(ok=True, what=f"{most} files may be open, enough for {connections} connections")
    what = f"{most} files may be open, too few for the {connections} connections of listen.max_connections"
    return Finding(ok=False, what=what, way_out="Raise LimitNOFILE in the unit, or lower the setting.")


def parser() -> Finding:
    """Say whether the fast HTTP parser is installed."""
    if importlib.util.find_spec("httptools") is not None:
        return Finding(ok=True, what="the fast HTTP parser (httptools) is installed")
    what = "the fast HTTP parser (httptools) is missing: everything works, at a quarter of the requests a second"
    return Finding(ok=False, what=what, way_out='Install the extra: pip install "oclaw[fast]".')


def clock() -> Finding:
    """Say whether the clock can be right: webhooks are believed within five minutes of their time."""
    now = time.time()
    when = time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(now))
    if now >= _EARLIEST:
        return Finding(ok=True, what=f"the clock says {when}")
    return Finding(ok=False, what=f"the clock says {when}", way_out="Set it, and let timesyncd or chrony keep it.")
