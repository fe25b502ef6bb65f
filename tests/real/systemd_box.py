"""A real systemd as PID 1 of a container that is gone with its process: this machine's own files below an overlay that
forgets, name spaces of its own (the network, too), and a control group of its own. It disturbs nothing outside.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from tests.real.missing import Missing, last_words

ROOT = Path(__file__).parents[2]
_SYSTEMD = Path("/lib/systemd/systemd")
_BOOT_SECONDS = 30.0
# What the box needs of this machine; its own units are left out, so that nothing but systemd and oclaw runs there.
_BOOT = r"""
set -eu
box=$1 source=$2 python=$3 packages=$4; shift 4
ip link set lo up
mount -t tmpfs -o mode=755 tmpfs "$box"
mkdir "$box/upper" "$box/work" "$box/root"
mount -t overlay -o "lowerdir=/,upperdir=$box/upper,workdir=$box/work" overlay "$box/root"
cd "$box/root"
rm -rf etc/systemd/system etc/oclaw opt/oclaw var/lib/oclaw var/lib/private/oclaw etc/credstore
mkdir -p etc/systemd/system opt/oclaw/bin opt/oclaw/source opt/oclaw/python opt/oclaw/packages etc/credstore
printf '[Unit]\nRequires=basic.target\n' > etc/systemd/system/box.target
mount --bind "$source" opt/oclaw/source
mount --bind "$python" opt/oclaw/python
mount --bind "$packages" opt/oclaw/packages
cat > opt/oclaw/bin/oclaw <<'END'
#!/bin/sh
export LD_LIBRARY_PATH=/opt/oclaw/python/lib PYTHONPATH=/opt/oclaw/source:/opt/oclaw/packages
exec /opt/oclaw/python/bin/python3 -m gateway.cli "$@"
END
chmod 755 opt/oclaw/bin/oclaw
mount -t proc proc proc
mount -t sysfs sysfs sys
for folder in run dev tmp; do mount -t tmpfs -o mode=755 tmpfs $folder; done
chmod 1777 tmp
for each in null zero full random urandom tty; do : > dev/$each; mount --bind /dev/$each dev/$each; done
mkdir dev/shm dev/pts
mount -t tmpfs -o mode=1777 tmpfs dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
[ -n "${1##cgroup2:/sys/fs/cgroup:*}" ] && mount -t tmpfs -o mode=755 tmpfs sys/fs/cgroup
for hierarchy in "$@"; do
    kind=${hierarchy%%:*} rest=${hierarchy#*:}
    mkdir -p ".${rest%%:*}"; mount -t "$kind" -o "${rest#*:}" "$kind" ".${rest%%:*}"
done
# The kernel is everybody's: no setting of it, no device and no module changes from in here. /proc/sys cannot be made
# read only as well: the kernel would refuse the unit a /proc of its own.
mount -o remount,bind,ro sys
for each in udevd.service udevd-control.socket udevd-kernel.socket udev-trigger.service modules-load.service \
    sysctl.service remount-fs.service random-seed.service; do ln -s /dev/null "etc/systemd/system/systemd-$each"; done
mkdir outside; pivot_root . outside; umount -l outside
# systemd does this where it is not in a container, and passes credentials only there where it is so.
mount --make-rshared /
exec env -i container=oclaw PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --unit=box.target --log-target=journal --show-status=no
"""


class Box:
    """The container; `run` is a root's shell in it."""

    def __init__(self, pid: int) -> None:
        self._enter = ["nsenter", "-t", str(pid), "-m", "-p", "-n", "-i", "-u", "-C", "-r", "-w", "env", "-i"]
        self._enter += ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8", "sh", "-c"]

    def run(self, command: str) -> tuple[int, str]:
        """Return the exit code, and what was printed on both streams."""
        done = subprocess.run(
            [*self._enter, command], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False
        )
        return done.returncode, done.stdout + done.stderr

    def does(self, command: str) -> str:
        """Run what must succeed."""
        code, said = self.run(command)
        assert code == 0, f"{command}: {code}\n{said}\n{self.run('journalctl -u oclaw --no-pager -n 20')[1]}"
        return said.strip()

    def until(self, command: str, wanted: str) -> None:
        """Wait until a command prints this."""
        ends = time.monotonic() + 60
        while (said := self.run(command)[1].strip()) != wanted:
            assert time.monotonic() < ends, f"{command} says {said}, not {wanted}\n{self.run('journalctl -n 40')[1]}"
            time.sleep(0.1)


def installed() -> None:
    """Raises `Missing` where no such box can be made, or systemd does not come up in it."""
    why = _tried()
    if why:
        raise Missing(why)


@cache
def _tried() -> str:
    if os.geteuid() != 0:
        return "Only root can make a container with a systemd of its own."
    needed = [name for name in ("unshare", "nsenter", "ip", "pivot_root", "systemctl") if shutil.which(name) is None]
    if needed or not _SYSTEMD.exists():
        return (
            f"systemd, or {', '.join(needed) or 'its program'}, is missing: apt-get install systemd iproute2 util-linux"
        )
    try:
        with open_box():
            return ""
    except (OSError, Missing) as error:
        return f"A systemd does not come up in a container here: {error}"


@contextmanager
def open_box() -> Iterator[Box]:
    """Run a box while the block runs. Raises `Missing` or `OSError`."""
    name = f"oclaw-box-{os.getpid()}"
    folder = Path("/run") / name
    hierarchies = _hierarchies()
    folder.mkdir()
    groups = [Path(place) / name for _, place, _ in hierarchies]
    process: subprocess.Popen[str] | None = None
    try:
        for group in groups:
            group.mkdir()
        process = _begun(folder, groups, [":".join(each) for each in hierarchies])
        yield _up(process, folder / "said")
    finally:
        if process is not None:
            process.kill()
            process.wait()
        _removed(groups)
        shutil.rmtree(folder)


def _hierarchies() -> list[tuple[str, str, str]]:
    """Return kind, place and options of each mounted hierarchy of control groups."""
    found = []
    for line in Path("/proc/mounts").read_text().splitlines():
        _, place, kind, options, *_ = line.split()
        if kind in ("cgroup", "cgroup2") and place.startswith("/sys/fs/cgroup"):
            own = [each for each in options.split(",") if each not in ("rw", "relatime")]
            found.append((kind, place, ",".join(["rw", *("none" for each in own if each.startswith("name=")), *own])))
    return found


def _begun(folder: Path, groups: list[Path], hierarchies: list[str]) -> subprocess.Popen[str]:
    join = "".join(f'echo $$ > "{group}/cgroup.procs"; ' for group in groups)
    (folder / "box").mkdir()
    boot = ["sh", "-c", _BOOT, "boot", str(folder / "box"), str(ROOT), sys.base_prefix, sysconfig.get_path("purelib")]
    boot += hierarchies
    spaces = ["--cgroup", "--mount", "--pid", "--ipc", "--uts", "--net", "--propagation", "private"]
    command = ["sh", "-c", f'{join}exec "$@"', "join", "unshare", *spaces, "--fork", "--kill-child", *boot]
    with (folder / "said").open("w") as said:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, text=True)


def _up(process: subprocess.Popen[str], said: Path) -> Box:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    ends = time.monotonic() + _BOOT_SECONDS
    while time.monotonic() < ends:
        if process.poll() is not None:
            break
        child = children.read_text().split()
        if child and Path(f"/proc/{child[0]}/comm").read_text().strip() == "systemd":
            box = Box(int(child[0]))
            if box.run("systemctl is-active box.target")[1].strip() == "active":
                return box
        time.sleep(0.05)
    raise Missing(last_words(said.read_text()))


def _removed(groups: list[Path]) -> None:
    for group in groups:
        for _ in range(100):  # the processes go one by one
            try:
                for inner, _, _ in os.walk(group, topdown=False):
                    os.rmdir(inner)
                break
            except OSError:
                time.sleep(0.05)
