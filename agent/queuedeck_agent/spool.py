# SPDX-License-Identifier: Apache-2.0
"""The folder that holds the lanes of one server, project and user, and what stands in for it.

`<base>/<uid>/<server and project>/lanes/<lane>/`: `lock` (held by the writer; says boot and
family), `ship` (held by the link that ships it) and the segments. Lanes are taken over, not made
anew, so there are as many as ever ran at once.
"""

import logging
import os
import shutil
from pathlib import Path

from queuedeck_agent import system
from queuedeck_agent.config import Config
from queuedeck_agent.ids import new_id
from queuedeck_agent.lane import FIRST_SEGMENT_BYTES, Lane
from queuedeck_agent.segment import Damaged
from queuedeck_agent.store import SUFFIX, DiskStore, MemoryStore, Store

log = logging.getLogger("queuedeck_agent")

SHARED_MEMORY = Path("/dev/shm/queuedeck-spool")  # noqa: S108 - 0700, owner checked
SHARED_MEMORY_BYTES = 8 << 20
MEMORY_BYTES = 1 << 20
RESERVED_PART = 8
"""One part in so many is kept for failures and command results."""
EXTRAS_PART = 2
"""One part in so many is kept for all but extras: a flood of log lines costs no state."""


class Unusable(Exception):
    """A folder cannot hold a spool; the text says why."""


class Spool:
    """Hands out lanes to writers and lists them for the link."""

    def __init__(self, family: str, folder: Path | None, limit: int) -> None:
        self.family = family
        self.folder = folder
        self.lanes_folder = folder / "lanes" if folder else None
        self.limit = limit
        self.kind = "disk"
        """As in `wire.Hello.spool`."""
        self.warning = ""
        self._memory: dict[str, MemoryStore] = {}

    @property
    def shared(self) -> bool:
        """Whether other processes of the family can read what this one records."""
        return self.folder is not None

    @property
    def id(self) -> str:
        """Random, the same for all who have this folder; empty where there is none."""
        if self.folder is None:
            return ""
        try:
            with (self.folder / "id").open("x") as file:
                file.write(new_id())
        except FileExistsError:
            pass
        except OSError:
            return ""
        try:
            return (self.folder / "id").read_text("ascii")
        except (OSError, UnicodeDecodeError):
            return ""

    def take_lane(self) -> Lane:
        """A free lane, or a new one; in memory when the folder has stopped working."""
        if self.folder is not None:
            try:
                return self._free_lane(self.folder) or self._new_lane(self.folder)
            except OSError as error:
                self.fall_back(f"{self.folder} cannot be written ({error.strerror or error})")
        store = MemoryStore()
        lane_id = new_id()
        self._memory[lane_id] = store
        return Lane(lane_id, store, -1, self._room)

    def fall_back(self, why: str) -> None:
        """From now on this process keeps its events in its own memory."""
        self.folder, self.lanes_folder = None, None
        self.kind, self.limit = "memory", MEMORY_BYTES
        self.warn(why)

    def forget_memory(self) -> None:
        """In a forked child: what the parent holds in memory is the parent's."""
        self._memory.clear()

    def lane_ids(self) -> list[str]:
        """Every lane there is."""
        folder = self.lanes_folder
        if folder is None:
            return list(self._memory)
        try:
            return sorted(os.listdir(folder))  # noqa: PTH208 - names, in one call
        except OSError:
            return []

    def lanes_stamp(self) -> int:
        """Changes when lanes come or go."""
        folder = self.lanes_folder
        if folder is None:
            return len(self._memory)
        try:
            return folder.stat().st_mtime_ns
        except OSError:
            return 0

    def store_of(self, lane_id: str) -> Store:
        """The segments of a lane."""
        folder = self.lanes_folder
        return self._memory[lane_id] if folder is None else DiskStore(folder / lane_id)

    def used_bytes(self) -> int:
        """Room taken by all segments of all lanes."""
        folder = self.lanes_folder
        if folder is None:
            return sum(store.used_bytes for store in self._memory.values())
        return sum(_folder_bytes(folder / lane_id) for lane_id in self.lane_ids())

    def remove_lane(self, lane_id: str) -> bool:
        """Deletes a lane that nobody writes; its id never comes again."""
        folder = self.lanes_folder
        if folder is None:
            return False
        lock = system.try_lock(folder / lane_id / "lock")
        if lock < 0:
            return False
        try:
            shutil.rmtree(folder / lane_id, ignore_errors=True)
        finally:
            os.close(lock)
        return True

    def family_of(self, lane_id: str) -> str:
        """The family that wrote the lane last."""
        return self._signature(lane_id).partition(" ")[2]

    def is_of_this_boot(self, lane_id: str) -> bool:
        """Whether the lane was written since the machine started: then no number can be missing."""
        return self._signature(lane_id).partition(" ")[0] == system.boot_id()

    def _signature(self, lane_id: str) -> str:
        folder = self.lanes_folder
        if folder is None:
            return f"{system.boot_id()} {self.family}"
        try:
            return (folder / lane_id / "lock").read_text("ascii")
        except (OSError, UnicodeDecodeError):
            return ""

    def _free_lane(self, folder: Path) -> Lane | None:
        for lane_id in self.lane_ids():
            path = folder / "lanes" / lane_id
            lock = system.try_lock(path / "lock")
            if lock < 0:
                continue
            store = DiskStore(path)
            if not _is_of_this_boot(lock) or store.has_damage:
                os.close(lock)  # to be shipped, not continued: its last numbers may be lost
                continue
            try:
                lane = Lane(lane_id, store, lock, self._room)
            except (Damaged, OSError):
                os.close(lock)
                continue
            self._sign(lock)
            return lane
        return None

    def _new_lane(self, folder: Path) -> Lane:
        lane_id = new_id()
        path = folder / "lanes" / lane_id
        path.mkdir(mode=0o700)
        try:
            lock = system.try_lock(path / "lock", create=True)
            self._sign(lock)
            return Lane(lane_id, DiskStore(path), lock, self._room)
        except OSError:
            shutil.rmtree(path, ignore_errors=True)
            raise

    def _sign(self, lock: int) -> None:
        os.pwrite(lock, f"{system.boot_id()} {self.family}".encode(), 0)

    def _room(self) -> tuple[int, int, int]:
        free = self.limit - self.used_bytes()
        return free - self.limit // RESERVED_PART, free, free - self.limit // EXTRAS_PART

    def warn(self, why: str) -> None:
        """Says once that events are not on disk."""
        self.warning = (
            f"Events are kept in memory ({self.limit >> 20} MiB at most), because {why}. They are "
            "lost if the process, or the machine, stops before the server has them. Set "
            "QUEUEDECK_SPOOL to a folder on a local disk that this user can write."
        )
        log.warning("%s", self.warning)


def open_spool(config: Config, family: str) -> Spool:
    """The configured folder, else memory that processes share, else memory of this process."""
    relative = Path(str(os.getuid())) / config.dsn.spool_name
    folder = Path(config.spool).absolute() / relative
    try:
        return Spool(family, _prepared(folder, config.spool_max_bytes), config.spool_max_bytes)
    except (Unusable, OSError) as error:
        why = _reason(folder, error)
    try:
        spool = Spool(family, _prepared(SHARED_MEMORY / relative, 0), SHARED_MEMORY_BYTES)
        spool.kind = "memory"
    except (Unusable, OSError):
        spool = Spool(family, None, MEMORY_BYTES)
        spool.fall_back(why)
    else:
        spool.warn(why)
    return spool


def _prepared(folder: Path, limit: int) -> Path:
    for path in (folder.parent.parent, folder.parent, folder, folder / "lanes"):
        _make_folder(path, shared=path == folder.parent.parent)
    kind = system.network_filesystem(folder) if limit else ""
    if kind:
        raise Unusable(f"it is on a network file system ({kind}), which cannot hold a spool")
    probe = folder / f"probe.{os.getpid()}"
    fd = os.open(probe, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(fd, 0, FIRST_SEGMENT_BYTES)
    finally:
        os.close(fd)
        probe.unlink(missing_ok=True)
    return folder


def _make_folder(path: Path, shared: bool) -> None:
    """The base may serve several users (like /tmp); below it everything is the user's own."""
    if not path.is_dir():
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if shared:
            path.chmod(0o1777)
        return
    owner = path.stat().st_uid
    if not shared and owner != os.getuid():
        raise Unusable(f"{path} belongs to another user (uid {owner})")


def _reason(folder: Path, error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{folder} cannot be used ({error.strerror or error})"
    return f"{folder} cannot be used: {error}"


def _folder_bytes(folder: Path) -> int:
    total = 0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith(SUFFIX):
                    total += entry.stat().st_size
    except OSError:
        return total
    return total


def _is_of_this_boot(lock: int) -> bool:
    return os.pread(lock, 200, 0).decode("ascii", "replace").startswith(f"{system.boot_id()} ")
