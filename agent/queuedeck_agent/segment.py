# SPDX-License-Identifier: Apache-2.0
"""One segment of a lane: a mapped file of records. Who may write or delete it is decided elsewhere.

Header, 8-byte words in native order: magic | first number | commit | counters of dropped records.
Record: length u32 | checksum u32 | number u64 | payload. The checksum is Adler-32: a CRC-32 reads
tables of 8 KB, which between two tasks are in no cache. The commit word holds how many numbers the
segment has used (upper half) and where the next record begins (lower half). It is stored last, by
one aligned 8-byte move, so a record is there whole or not at all, whenever the process dies or an
exception strikes, and another process may read behind the writer without any lock.
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
_MAGIC, _FIRST, _COMMIT, _DROPPED = 0, 1, 2, 8
"""Places of the header's words. Dropped-record counters run from `_DROPPED` to the header's end."""
COUNTERS = HEADER_BYTES // 8 - _DROPPED
LOW = 0xFFFFFFFF

HEAD = struct.Struct("<IIQ")
RECORD_OVERHEAD = HEAD.size
FRAMED = 5
"""What a record takes in a frame beside its payload, at most."""
_pack_head = HEAD.pack_into


Records = Iterable[tuple[int, bytes]]


class Damaged(Exception):
    """The bytes are not what was written."""


def _seed(number: int) -> int:
    """Makes the checksum cover the number as well."""
    return (number ^ number >> 32) & LOW


class Segment:
    """A mapped segment, for its writer or for a reader."""

    __slots__ = ("data", "first", "limit", "size", "words", "writable")

    def __init__(self, data: mmap.mmap, writable: bool) -> None:
        self.data = data
        self.size = len(data)
        self.words = memoryview(data)[:HEADER_BYTES].cast("Q")
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

    def append(self, payload: bytes, numbers: int = 1, reserve: int = 0) -> int:
        """Writes one record that uses so many numbers; returns its number, or 0 without room.

        `reserve` more bytes than `limit` may be used: what is kept free for a `Loss`.
        """
        words = self.words
        commit = words[_COMMIT]
        start = commit & LOW
        body = start + RECORD_OVERHEAD
        end = body + len(payload)
        if end > self.limit + reserve:
            return 0
        used = (commit >> 32) + numbers
        number = self.first + used - 1
        data = self.data
        seed = (number ^ number >> 32) & LOW
        _pack_head(data, start, len(payload), adler32(payload, seed), number)
        data[body:end] = payload
        words[_COMMIT] = used << 32 | end
        return number

    def read(self, start: int) -> tuple[int, bytes, int]:
        """(number, payload, where the next begins) of the record at `start`; raises `Damaged`."""
        try:
            length, check, number = HEAD.unpack_from(self.data, start)
        except struct.error:
            raise Damaged("the record's head is cut off") from None
        body = start + RECORD_OVERHEAD
        payload = self.data[body : body + length]
        if not number or len(payload) != length or adler32(payload, _seed(number)) != check:
            raise Damaged("the checksum does not fit")
        return number, payload, body + length

    def read_run(
        self, start: int, after: int, most: int, room: int
    ) -> tuple[list[msgspec.Raw], int, int, int]:
        """(payloads, number of the last, where the next begins, size in a frame) of the records
        from `start` with numbers above `after`: up to so many, until they fill so many bytes, or
        until a damaged one."""
        data, end = self.data, self.end
        payloads: list[msgspec.Raw] = []
        size = 0
        while start < end and len(payloads) < most and size < room:
            try:
                length, check, number = HEAD.unpack_from(data, start)
            except struct.error:
                break
            body = start + RECORD_OVERHEAD
            payload = data[body : body + length]
            seed = (number ^ number >> 32) & LOW
            if not number or len(payload) != length or adler32(payload, seed) != check:
                break
            start = body + length
            if number > after:
                after = number
                size += length + FRAMED
                payloads.append(msgspec.Raw(payload))
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
