"""What `systemctl status` shows of a gateway's life."""

from __future__ import annotations

import socket
from collections.abc import Iterator

from tests.support.daemon import daemon, scratch_folder

CONFIG = '[listen]\naddresses = ["127.0.0.1:0"]\n'


def heard(listener: socket.socket) -> Iterator[list[str]]:
    """Give each datagram's facts, but for the moments in them."""
    while True:
        yield [fact for fact in listener.recv(4096).decode().split("\n") if not fact.startswith("MONOTONIC")]


def test_systemd_is_told_what_the_gateway_does_and_that_a_reload_was_refused() -> None:
    with scratch_folder({"oclaw.toml": CONFIG}) as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(folder / "notify"))
        listener.settimeout(60)
        told = heard(listener)
        with daemon(folder, {"NOTIFY_SOCKET": str(folder / "notify")}) as gateway:
            assert next(told) == ["STATUS=Taking up what was left"]
            assert next(told) == ["READY=1", f"STATUS=Serving on 127.0.0.1:{gateway.port}"]
            (folder / "config" / "oclaw.toml").write_text(CONFIG + "[gatway]\n")
            assert gateway.oclaw("reload").returncode == 78
            assert next(told) == ["RELOADING=1"]
            assert next(told) == ["READY=1", "STATUS=Serving as before: a reload was refused, and the log says why"]
            (folder / "config" / "oclaw.toml").write_text(CONFIG)
            assert gateway.oclaw("reload").returncode == 0
            assert [next(told), next(told)] == [["RELOADING=1"], ["READY=1", "STATUS=Serving"]]
            assert gateway.stop() == 0
            assert next(told) == ["STOPPING=1", "STATUS=Draining"]
