# SPDX-License-Identifier: Apache-2.0
"""One segment of a lane: a mapped file of records. Who may write or delete it is decided elsewhere.

Header, 8-byte words in native order: magic | first number | commit | left | counters of dropped
records. Left is 1 once the writer has gone on to the next segment: it saves readers most looks.
Record: length u32, checksum u32 | number u64 | payload, up to a whole word. The checksum covers the
number, too, and is an Adler-32: a CRC-32 reads tables of 8 KB, which between two tasks are in no
cache. All words are stored by one view, since another way of packing them would have to be fetched
as well. The commit word holds how many numbers the segment has used (upper half) and where the next
record begins (lower half). It is stored last, by one aligned 8-byte move, so a record is there
whole or not at all, whenever the process dies or an exception strikes, and another process may read
behind the writer without any lock.
"""

import mmap
import os
import struct
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from zlib import adler32

import msgspec

MAGIC = int.from_bytes(b"QDLANE02", "little")
HEADER_BYTES = 256
_MAGIC, _FIRST, _COMMIT, _LEFT, _DROPPED = 0, 1, 2, 3, 8
"""Places of the header's words. Dropped-record counters run from `_DROPPED` to the header's end."""
COUNTERS = HEADER_BYTES // 8 - _DROPPED
LOW = 0xFFFFFFFF

RECORD_OVERHEAD = 16
FRAMED = 5
"""What a record takes in a frame beside its payload, at most."""
_Raw = msgspec.Raw

Records = Iterable[tuple[int, bytes]]


class Damaged(Exception):
    """The bytes are not what was written."""


def room_of(payload_bytes: int) -> int:
    """What a record of that length takes in a segment."""
    return RECORD_OVERHEAD + payload_bytes + 7 & -8


class Segment:
    """A mapped segment, for its writer or for a reader."""

    __slots__ = ("data", "first", "limit", "size", "words", "writable")

    def __init__(self, data: mmap.mmap, writable: bool) -> None:
        self.data = data
        self.size = len(data)
        self.words = memoryview(data)[: self.size & -8].cast("Q")
        if self.words[_MAGIC] != MAGIC:
            self.close()
            raise Damaged("not a segment, or one of another machine")
        self.first: int = self.words[_FIRST]
        self.limit = self.size
        self.writable = writable

    @classmethod
    def create(
        cls,
        path_of: Callable[[int], Path],
        size: int,
        first: Callable[[], int],
        records: Records = (),
    ) -> "Segment":
        """Makes a new file with all its room allotted, so that a full disk cannot strike later."""
        new = path_of(0).with_suffix(f".{os.getpid()}")
        new.unlink(missing_ok=True)
        fd = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(fd, 0, size)
            data = mmap.mmap(fd, size)
        except OSError:
            new.unlink(missing_ok=True)
            raise
        finally:
            os.close(fd)
        segment = cls._filled(data, first(), records)
        new.rename(path_of(segment.first))
        return segment

    @classmethod
    def create_in_memory(cls, size: int, first: int, records: Records = ()) -> "Segment":
        """The same without a file, for this process alone."""
        return cls._filled(mmap.mmap(-1, size), first, records)

    @classmethod
    def _filled(cls, data: mmap.mmap, first: int, records: Records) -> "Segment":
        struct.pack_into("=QQQ", data, 0, MAGIC, first, HEADER_BYTES)
        segment = cls(data, writable=True)
        for number, payload in records:
            segment.append(payload, number - segment.last)
        return segment

    @classmethod
    def open(cls, path: Path, writable: bool = False) -> "Segment":
        """Maps an existing file; raises `OSError` or `Damaged`."""
        fd = os.open(path, (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC)
        try:
            if os.fstat(fd).st_size < HEADER_BYTES:
                raise Damaged("shorter than its header")
            access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
            data = mmap.mmap(fd, 0, access=access)
        finally:
            os.close(fd)
        return cls(data, writable)

    @property
    def end(self) -> int:
        """Where the next record begins."""
        return self.words[_COMMIT] & LOW

    @property
    def last(self) -> int:
        """The last number used; `first - 1` when empty."""
        return self.first + (self.words[_COMMIT] >> 32) - 1

    @property
    def is_left(self) -> bool:
        """Whether there is a segment after this one. Not told where a writer died on its way."""
        return self.words[_LEFT] == 1

    def leave(self) -> None:
        """By the writer, when the segment after this one is there."""
        self.words[_LEFT] = 1

    def append(self, payload: bytes, numbers: int = 1, reserve: int = 0) -> int:
        """Writes one record that uses so many numbers; returns its number, or 0 without room.

        `reserve` more bytes than `limit` may be used: what is kept free for a `Loss`.
        """
        words, length = self.words, len(payload)
        commit = words[_COMMIT]
        start = commit & LOW
        body = start + RECORD_OVERHEAD
        end = body + length + 7 & -8
        if end > self.limit + reserve:
            return 0
        used = (commit >> 32) + numbers
        number = self.first + used - 1
        place = start >> 3
        words[place] = adler32(payload, number ^ number >> 32) << 32 | length
        words[place + 1] = number
        self.data[body : body + length] = payload
        words[_COMMIT] = used << 32 | end
        return number

    def read(self, start: int) -> tuple[int, bytes, int]:
        """(number, payload, where the next begins) of the record at `start`; raises `Damaged`."""
        place, body = start >> 3, start + RECORD_OVERHEAD
        try:
            head, number = self.words[place], self.words[place + 1]
        except IndexError:
            raise Damaged("the record's head is cut off") from None
        end = body + (head & LOW)
        payload = self.data[body:end]
        check = adler32(payload, number ^ number >> 32)
        if not number or len(payload) != head & LOW or check != head >> 32:
            raise Damaged("the checksum does not fit")
        return number, payload, end + 7 & -8

    def read_run(
        self, start: int, after: int, most: int, room: int
    ) -> tuple[list[msgspec.Raw], int, int, int]:
        """(payloads, number of the last, where the next begins, size in a frame) of the records
        from `start` with numbers above `after`: up to so many, until they fill so many bytes, or
        until a damaged one."""
        data, words, end = self.data, self.words, self.end
        payloads: list[msgspec.Raw] = []
        add, size = payloads.append, 0
        while start < end and len(payloads) < most and size < room:
            place, body = start >> 3, start + RECORD_OVERHEAD
            try:
                head, number = words[place], words[place + 1]
            except IndexError:
                break
            length = head & LOW
            payload = data[body : body + length]
            check = adler32(payload, number ^ number >> 32)
            if not number or len(payload) != length or check != head >> 32:
                break
            start = body + length + 7 & -8
            if number > after:
                after = number
                size += length + FRAMED
                add(_Raw(payload))
        return payloads, after, start, size

    def records(self) -> Iterator[tuple[int, bytes]]:
        """Every record in order; raises `Damaged` at the first bad one."""
        place, end = HEADER_BYTES, self.end
        while place < end:
            number, payload, place = self.read(place)
            yield number, payload

    def count_dropped(self, kind: int, count: int = 1) -> None:
        """Notes records that could not be written. Survives the process, like the records."""
        self.words[_DROPPED + kind] += count

    def dropped(self) -> list[int]:
        """How many of each kind were dropped since the segment was made, told or not."""
        return [self.words[place] for place in range(_DROPPED, _DROPPED + COUNTERS)]

    def close(self) -> None:
        """Unmaps. Safe to repeat."""
        self.words.release()
        self.data.close()
