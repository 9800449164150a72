# SPDX-License-Identifier: AGPL-3.0-only
"""The spool: what is read equals what was written, less what a `Loss` counts, whatever happens."""

import logging
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.agent_events import failed, published, started, succeeded
from tests.support.far_edge import FarEdge

from queuedeck_agent import lane, loss, reader, spool, system, wire
from queuedeck_agent.reader import LaneReader
from queuedeck_agent.recorder import Recorder
from queuedeck_agent.segment import HEADER_BYTES, RECORD_OVERHEAD, Segment
from queuedeck_agent.shipper import Shipper
from queuedeck_agent.spool import Spool, open_spool

FAMILY = "f" * 32


@pytest.fixture
def make_spool(tmp_path: Path) -> Callable[..., Spool]:
    def make(limit: int = 64 << 20) -> Spool:
        (tmp_path / "lanes").mkdir(exist_ok=True)
        return Spool(FAMILY, tmp_path, limit)

    return make


@pytest.fixture
def one(make_spool: Callable[..., Spool]) -> Iterator[Recorder]:
    recorder = Recorder(make_spool())
    yield recorder
    recorder.close()


def _reader(place: Spool) -> LaneReader:
    (lane_id,) = place.lane_ids()
    return LaneReader(lane_id, place.store_of(lane_id), -1, lambda *_: None)


def _events(found: LaneReader) -> list[wire.Event]:
    events: list[wire.Event] = []
    while part := found.take(500, 1 << 20):
        events += [wire.decode_event(raw) for raw in part[0].events]
    return events


def _counted(events: list[wire.Event]) -> int:
    return sum(event.count if isinstance(event, wire.Loss) else 1 for event in events)


def test_reader_follows_the_writer_over_segments(one: Recorder) -> None:
    one.emit(started("0"))
    behind = _reader(one.spool)
    for number in range(1, 30_000):
        one.emit(started(str(number)))
    assert len(_events(behind)) == 30_000
    assert len(behind.store.firsts()) > 3
    behind.ack(30_000)
    assert len(behind.store.firsts()) == 1
    assert behind.drained
    one.emit(started("last"))
    assert not behind.drained
    assert len(_events(behind)) == 1
    behind.close()


def test_reader_goes_back_to_what_was_not_acknowledged(one: Recorder) -> None:
    for number in range(2_000):
        one.emit(started(str(number)))
    behind = _reader(one.spool)
    assert len(_events(behind)) == 2_000
    behind.ack(700)
    behind.rewind()
    events = _events(behind)
    assert next(e.task_id for e in events if isinstance(e, wire.TaskStarted)) == "700"
    assert len(events) == 1_300
    behind.close()


def test_reader_finds_what_follows_a_segment_whose_writer_died_before_it_told(
    make_spool: Callable[..., Spool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Segment, "leave", lambda _segment: None)
    place = make_spool()
    recorder = Recorder(place)
    for number in range(6_000):
        recorder.emit(started(str(number)))
    behind = _reader(place)
    read = _events(behind)
    assert len(read) < 6_000, "it looked a moment ago"
    time.sleep(reader.LOOK_S)
    assert len(read + _events(behind)) == 6_000
    behind.close()
    recorder.close()


@pytest.mark.parametrize("record", [1, 2, 3], ids=["last", "second last", "third last"])
def test_bit_flips_in_the_last_records_cost_what_follows_and_are_counted(
    record: int, make_spool: Callable[..., Spool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "PATIENCE_S", 0.0)
    place = make_spool()
    recorder = Recorder(place)
    ends: list[int] = []
    for number in range(20):
        recorder.emit(started(str(number)))
        assert recorder._desk.lane is not None
        ends.append(recorder._desk.lane.segment.end)
    recorder.close()
    (path,) = tmp_path.rglob("*.seg")
    whole = path.read_bytes()
    begin = ends[-record - 1]
    length = int.from_bytes(whole[begin : begin + 4], sys.byteorder)
    for byte in range(begin, begin + RECORD_OVERHEAD + length):
        path.write_bytes(whole[:byte] + bytes([whole[byte] ^ 0x10]) + whole[byte + 1 :])
        behind = _reader(place)
        behind.take(1, 1)
        behind.rewind()
        events = _events(behind) + _events(behind)
        behind.close()
        assert len(events) == 20 - record + 1, f"byte {byte}"
        assert events[-1] == wire.Loss(events[-1].at_us, record, {"other": record}, "corrupt")
        assert _counted(events) == 20


def test_writer_goes_on_behind_damage(
    make_spool: Callable[..., Spool], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(reader, "PATIENCE_S", 0.0)
    place = make_spool()
    recorder = Recorder(place)
    for number in range(10):
        recorder.emit(started(str(number)))
    (path,) = tmp_path.rglob("*.seg")
    with path.open("r+b") as file:
        file.seek(HEADER_BYTES + 20)
        file.write(b"\xff\xff")
    shipper = Shipper(place)
    shipper.claim_lanes()
    assert shipper.next_frame(1 << 20) is None, "it may be that the writer is not done"
    frame = shipper.next_frame(1 << 20)
    assert frame is not None
    recorder.emit(started("after"))
    later = shipper.next_frame(1 << 20)
    assert later is not None
    decoded = wire.decode_agent_message(later)
    assert isinstance(decoded, wire.Frame)
    assert decoded.parts[0].last == 11
    assert len(decoded.parts[0].events) == 1
    assert list((tmp_path / "quarantine").iterdir())
    shipper.close()
    recorder.close()


def test_segment_with_a_ruined_header_is_set_aside_and_bridged(
    make_spool: Callable[..., Spool], tmp_path: Path
) -> None:
    place = make_spool()
    recorder = Recorder(place)
    for number in range(3_000):
        recorder.emit(started(str(number)))
    first, second = sorted(tmp_path.rglob("*.seg"))[:2]
    first.write_bytes(b"\0" * 100 + first.read_bytes()[100:])
    behind = _reader(place)
    behind.go_to(0)
    events = _events(behind)
    assert isinstance(events[0], wire.Loss)
    assert events[0].count == int(second.stem) - 1
    assert _counted(events) == 3_000
    behind.close()
    recorder.close()
    again = Recorder(place)
    again.emit(started("x"))
    assert len(place.lane_ids()) == 2, "a damaged lane is not continued"
    again.close()


def _make_full(place: Spool) -> tuple[Recorder, int]:
    recorder = Recorder(place)
    produced = 0
    for number in range(6_000):
        recorder.emit(published(str(number), b"x" * 300))
        recorder.emit(succeeded(str(number)))
        produced += 2
        if number % 100 == 0:
            recorder.emit(failed(f"bad {number}"))
            produced += 1
    return recorder, produced


def test_full_spool_keeps_failures_and_counts_the_rest(make_spool: Callable[..., Spool]) -> None:
    place = make_spool(1 << 20)
    recorder, produced = _make_full(place)
    assert recorder.dropped > 0
    assert place.used_bytes() <= 1 << 20
    recorder.close()
    behind = _reader(place)
    events = _events(behind)
    behind.close()
    assert _counted(events) == produced, "received + lost = produced"
    assert sum(isinstance(event, wire.TaskFailed) for event in events) == 60
    for event in events:
        if isinstance(event, wire.Loss):
            assert sum(event.kinds.values()) == event.count


def test_losses_of_a_killed_process_are_told_by_the_next(make_spool: Callable[..., Spool]) -> None:
    place = make_spool(1 << 20)
    recorder, produced = _make_full(place)
    recorder.abandon()
    assert Recorder(place).spool is place
    successor = Recorder(place)
    successor.emit(failed("x"))
    successor.close()
    behind = _reader(place)
    assert _counted(_events(behind)) == produced + 1
    behind.close()


def test_lane_goes_on_when_there_is_room_again(
    make_spool: Callable[..., Spool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane, "LOOK_AGAIN_S", 0.0)
    place = make_spool(1 << 20)
    recorder, produced = _make_full(place)
    behind = _reader(place)
    received = _events(behind)
    behind.ack(behind.sent)
    for number in range(100):
        recorder.emit(succeeded(f"late {number}"))
        received += _events(behind)
        behind.ack(behind.sent)
    recorder.close()
    received += _events(behind)
    behind.close()
    late = [e for e in received if isinstance(e, wire.TaskSucceeded) and "late" in e.task_id]
    assert len(late) == 100
    assert _counted(received) == produced + 100


def test_waiting_segments_are_thinned_of_whole_successes(make_spool: Callable[..., Spool]) -> None:
    place = make_spool(1_600_000)
    recorder = Recorder(place)
    for number in range(4_000):
        recorder.emit(published(str(number), b"x" * 300))
        recorder.emit(started(str(number)))
        recorder.emit(failed(str(number)) if number % 50 == 0 else succeeded(str(number)))
    used = place.used_bytes()
    shipper = Shipper(place)
    shipper.claim_lanes()
    for _ in range(6):
        shipper.make_room()
    assert place.used_bytes() < used * 3 // 4
    shipper.close()
    recorder.close()
    behind = _reader(place)
    events = _events(behind)
    behind.close()
    assert _counted(events) == 12_000
    assert sum(isinstance(event, wire.TaskFailed) for event in events) == 80
    assert sum(isinstance(event, wire.Loss) for event in events) > 0


@given(
    st.lists(
        st.tuples(
            st.sampled_from([published, started, succeeded, failed]), st.sampled_from("abcde")
        ),
        min_size=1,
        max_size=60,
    )
)
@settings(max_examples=100, deadline=None)
def test_thinning_keeps_every_number_and_never_half_a_story(
    steps: list[tuple[Callable[[str], wire.Event], str]],
) -> None:
    records = [(place + 1, wire.encode(make(name))) for place, (make, name) in enumerate(steps)]
    kept = loss.thin(records)
    number = 0
    for last, payload in kept:
        event = wire.decode_event(payload)
        number += event.count if isinstance(event, wire.Loss) else 1
        assert number == last
    assert number == len(steps)
    succeeded_names = {name for make, name in steps if make is succeeded}
    whole = [wire.decode_event(payload) for _, payload in kept]
    for event in whole:
        if isinstance(event, wire.TaskPublished | wire.TaskStarted | wire.TaskSucceeded):
            assert event.task_id not in succeeded_names


def test_record_that_is_too_large_is_dropped_and_counted(one: Recorder) -> None:
    one.emit(published("big", b"x" * (200 << 10)))
    one.emit(started("small"))
    one.close()
    behind = _reader(one.spool)
    assert _counted(_events(behind)) == 2
    behind.close()


def test_folder_is_private(edge: FarEdge, tmp_path: Path) -> None:
    place = open_spool(edge.config(tmp_path / "spool"), FAMILY)
    recorder = Recorder(place)
    recorder.emit(started("1"))
    recorder.close()
    assert place.folder is not None
    for path in (place.folder, *place.folder.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path


def test_read_only_folder_falls_back_to_memory_with_one_warning(
    edge: FarEdge, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    place = open_spool(edge.config(tmp_path / "file"), FAMILY)
    recorder = Recorder(place)
    for number in range(10):
        recorder.emit(started(str(number)))
    (warning,) = caplog.records
    assert warning.levelno == logging.WARNING
    assert "QUEUEDECK_SPOOL" in warning.getMessage()
    assert place.kind == "memory"
    assert place.limit <= spool.SHARED_MEMORY_BYTES
    recorder.close()
    if place.folder is not None:
        shutil.rmtree(place.folder)


def test_network_file_system_is_not_trusted(
    edge: FarEdge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system, "network_filesystem", lambda folder: "nfs4")
    place = open_spool(edge.config(tmp_path / "spool"), FAMILY)
    assert place.kind == "memory"
    assert "nfs4" in place.warning


def test_memory_of_the_process_ships_like_a_disk(
    edge: FarEdge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "SHARED_MEMORY", tmp_path / "file" / "x")
    (tmp_path / "file").write_text("")
    place = open_spool(edge.config(tmp_path / "file"), FAMILY)
    assert not place.shared
    recorder, produced = _make_full(place)
    assert place.used_bytes() <= spool.MEMORY_BYTES
    recorder.close()
    behind = _reader(place)
    assert _counted(_events(behind)) == produced
    behind.close()


@pytest.mark.skipif(os.getuid() != 0, reason="mounting a small disk needs root")
def test_full_disk_costs_events_that_are_counted_and_nothing_else(
    edge: FarEdge, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(disk)], check=False
    )
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        place = open_spool(edge.config(disk), FAMILY)
        recorder, produced = _make_full(place)
        assert recorder.dropped > 0
        recorder.close()
        behind = _reader(place)
        assert _counted(_events(behind)) == produced
        behind.close()
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_file_size_limit_falls_back_to_memory(edge: FarEdge, tmp_path: Path) -> None:
    pid = os.fork()
    if pid == 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, 1_000))
        logging.disable()
        recorder = Recorder(open_spool(edge.config(tmp_path / "spool"), FAMILY))
        recorder.emit(started("1"))
        os._exit(0 if recorder.spool.kind == "memory" and recorder._desk.lane is not None else 1)
    assert os.waitpid(pid, 0)[1] == 0


def test_lane_of_an_earlier_boot_is_shipped_but_not_continued(
    make_spool: Callable[..., Spool], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = make_spool()
    before = Recorder(place)
    before.emit(started("before"))
    before.close()
    monkeypatch.setattr(system, "boot_id", lambda: "another")
    after = Recorder(place)
    after.emit(started("after"))
    after.close()
    assert len(place.lane_ids()) == 2
    shipper = Shipper(place)
    shipper.claim_lanes()
    shipper.close()


def test_segment_of_something_else_is_refused(tmp_path: Path) -> None:
    from queuedeck_agent.segment import Damaged

    (tmp_path / "x").write_bytes(b"GIF89a" * 100)
    with pytest.raises(Damaged):
        Segment.open(tmp_path / "x")


def test_events_in_frames_are_the_bytes_that_were_recorded(one: Recorder) -> None:
    event = started("1")
    one.emit(event)
    behind = _reader(one.spool)
    part = behind.take(10, 1_000)
    behind.close()
    assert part is not None
    assert bytes(part[0].events[0]) == wire.encode(event)
    assert isinstance(part[0].events[0], msgspec.Raw)
