# SPDX-License-Identifier: Apache-2.0
"""What the agent asks the operating system: kind of file system, boot, locks."""

import contextlib
import errno
import fcntl
import functools
import os
import time
from collections.abc import Generator
from pathlib import Path

_LOCK_S = 2.0

_NETWORK = frozenset(
    {
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "9p",
        "afs",
        "ceph",
        "glusterfs",
        "lustre",
        "gpfs",
        "beegfs",
    }
)
"""On these, mapped files are not coherent or `flock` is emulated (it seems to work)."""


def network_filesystem(folder: Path) -> str:
    """The type of the network file system that holds `folder`, or nothing when it is local."""
    try:
        lines = Path("/proc/self/mountinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        return ""
    best, kind = "", ""
    place = str(folder.resolve())
    for line in lines:
        fields = line.split(" ")
        point = fields[4].replace("\\040", " ")
        inside = place == point or place.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best) and "-" in fields:
            best, kind = point, fields[fields.index("-") + 1]
    return kind if kind in _NETWORK or kind.startswith("fuse.") else ""


@functools.cache
def boot_id() -> str:
    """Changes with each boot: what was mapped but not on disk before it may be missing."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return "unknown"


def try_lock(path: Path, create: bool = False) -> int:
    """The descriptor of a locked file, or -1 when somebody holds it or it is gone.

    A lock belongs to the open file, so forked children hold it too: they close, and never unlock.
    """
    flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0)
    try:
        fd = os.open(path, flags, 0o600)
    except FileNotFoundError:
        return -1
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return -1
        raise
    if os.fstat(fd).st_nlink == 0:
        os.close(fd)
        return -1
    return fd


@contextlib.contextmanager
def locked(path: Path) -> Generator[None]:
    """Holds the file's lock, for a moment's change; raises `OSError` when it is not to be had."""
    until = time.monotonic() + _LOCK_S
    while (fd := try_lock(path, create=True)) < 0:
        if time.monotonic() >= until:
            raise TimeoutError(f"{path.name} is locked by another process")
        time.sleep(0.01)
    try:
        yield
    finally:
        os.close(fd)


@functools.cache
def pid_space() -> str:
    """Which namespace the process ids of this process are of; empty where nobody says."""
    try:
        return os.readlink("/proc/self/ns/pid")  # noqa: PTH115 - its text, no path
    except OSError:
        return ""


def process_began_us(pid: int) -> int | None:
    """When a process of this namespace began, -1 when there is none, None when that is not told."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
        booted = Path("/proc/stat").read_text("ascii", "replace")
        fields = stat.rpartition(")")[2].split()
        seconds = int(booted.partition("\nbtime ")[2].split()[0])
        ticks = int(fields[19])
    except FileNotFoundError:
        return -1 if Path("/proc/self/stat").exists() else None
    except (OSError, ValueError, IndexError):
        return None
    if fields[0] in "ZX":
        return -1
    return int((seconds + ticks / os.sysconf("SC_CLK_TCK")) * 1_000_000)
