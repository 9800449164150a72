# SPDX-License-Identifier: Apache-2.0
"""Where the segments of one lane are: files in its folder, or memory of this process."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from queuedeck_agent.segment import HEADER_BYTES, Segment, room_of

SUFFIX = ".seg"
DAMAGED_SUFFIX = ".damaged"


def size_for(records: list[tuple[int, bytes]]) -> int:
    """The size of a segment that holds exactly these."""
    return HEADER_BYTES + sum(room_of(len(payload)) for _, payload in records)


class Store(Protocol):
    """The segments of one lane, named by their first number."""

    def firsts(self) -> list[int]:
        """First numbers of the segments there are, in order."""
        ...

    def has(self, first: int) -> bool:
        """Whether a segment begins with this number."""
        ...

    def create(self, size: int, first: Callable[[], int]) -> Segment:
        """A new segment; its first number is asked for once the room is certain, else `OSError`."""
        ...

    def open(self, first: int, writable: bool = False) -> Segment:
        """An existing one; raises `OSError` or `Damaged`."""
        ...

    def release(self, segment: Segment) -> None:
        """The caller is done with a segment that it created or opened."""
        ...

    def replace(self, first: int, records: list[tuple[int, bytes]]) -> None:
        """Puts a smaller segment with these records in the place of one; raises `OSError`."""
        ...

    def delete(self, first: int) -> None:
        """Forgets a segment that is acknowledged, or already gone."""
        ...

    def set_aside(self, first: int) -> None:
        """Keeps a segment that cannot be read, out of the way."""
        ...


class DiskStore:
    """A folder with one file for each segment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._place = str(folder)

    def firsts(self) -> list[int]:
        firsts = (name[: -len(SUFFIX)] for name in self._names() if name.endswith(SUFFIX))
        return sorted(int(first) for first in firsts if first.isdecimal())

    def path(self, first: int) -> Path:
        """The file of a segment."""
        return Path(f"{self._place}/{first:020d}{SUFFIX}")

    def has(self, first: int) -> bool:
        return os.path.exists(f"{self._place}/{first:020d}{SUFFIX}")  # noqa: PTH110 - each tick

    def create(self, size: int, first: Callable[[], int]) -> Segment:
        return Segment.create(self.path, size, first)

    def open(self, first: int, writable: bool = False) -> Segment:
        return Segment.open(self.path(first), writable)

    def release(self, segment: Segment) -> None:
        segment.close()

    def replace(self, first: int, records: list[tuple[int, bytes]]) -> None:
        thinned = Segment.create(self.path, size_for(records), lambda: first, records)
        thinned.leave()
        thinned.close()

    def delete(self, first: int) -> None:
        with contextlib.suppress(OSError):
            self.path(first).unlink()

    def set_aside(self, first: int) -> None:
        with contextlib.suppress(OSError):
            self.path(first).rename(self.path(first).with_suffix(DAMAGED_SUFFIX))

    @property
    def has_damage(self) -> bool:
        """Whether a segment was set aside: the lane's last number may be gone with it."""
        return any(name.endswith(DAMAGED_SUFFIX) for name in self._names())

    def _names(self) -> list[str]:
        try:
            return os.listdir(self._place)  # noqa: PTH208 - names only, in a fresh child
        except OSError:
            return []


class MemoryStore:
    """Segments that die with the process; writer and reader share the very objects."""

    def __init__(self) -> None:
        self._segments: dict[int, Segment] = {}

    @property
    def used_bytes(self) -> int:
        """All segments together."""
        return sum(segment.size for segment in list(self._segments.values()))

    def firsts(self) -> list[int]:
        return sorted(self._segments)

    def has(self, first: int) -> bool:
        return first in self._segments

    def create(self, size: int, first: Callable[[], int]) -> Segment:
        segment = Segment.create_in_memory(size, first())
        self._segments[segment.first] = segment
        return segment

    def open(self, first: int, writable: bool = False) -> Segment:
        try:
            return self._segments[first]
        except KeyError:
            raise FileNotFoundError(first) from None

    def release(self, segment: Segment) -> None:
        """Nothing: the other side may be using the same object."""

    def replace(self, first: int, records: list[tuple[int, bytes]]) -> None:
        thinned = Segment.create_in_memory(size_for(records), first, records)
        thinned.leave()
        self._segments[first] = thinned

    def delete(self, first: int) -> None:
        self._segments.pop(first, None)

    set_aside = delete
