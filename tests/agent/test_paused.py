# SPDX-License-Identifier: AGPL-3.0-only
"""Paused queues: the same in every process of a host, over restarts, and over by themselves."""

import json
import multiprocessing
import os
import time
from pathlib import Path

import pytest
from tests.support import spool

from queuedeck_agent import config, paused, status
from queuedeck_agent.errors import CommandRefused
from queuedeck_agent.paused import Paused
from queuedeck_agent.spool import open_spool

SOURCE = "0123456789ab"
MAIL = (SOURCE, "mail")


@pytest.fixture(autouse=True)
def _look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paused, "LOOK_AGAIN_S", 0.0)


@pytest.mark.parametrize("on_disk", [True, False], ids=["disk", "memory"])
def test_queue_is_paused_until_it_is_resumed(on_disk: bool, tmp_path: Path) -> None:
    pauses = Paused(tmp_path if on_disk else None)
    assert MAIL not in pauses
    pauses.add(SOURCE, "mail", reason="the printer is on fire")
    assert MAIL in pauses
    assert (SOURCE, "mails") not in pauses
    assert ("ba9876543210", "mail") not in pauses
    assert pauses.queues(SOURCE) == {"mail"}
    assert pauses.remove(SOURCE, "mail")
    assert not pauses.remove(SOURCE, "mail")
    assert MAIL not in pauses


def test_other_processes_see_it(tmp_path: Path) -> None:
    here, there = Paused(tmp_path), Paused(tmp_path)
    here.add(SOURCE, "mail")
    assert MAIL in there
    assert MAIL in Paused(tmp_path), "a worker that starts later"
    there.remove(SOURCE, "mail")
    assert MAIL not in here


def test_pause_ends_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = Paused(tmp_path)
    pauses.add(SOURCE, "mail", for_s=60)
    assert MAIL in pauses
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now + 61_000_000_000)
    assert MAIL not in pauses
    assert pauses.queues(SOURCE) == frozenset()
    assert not pauses.remove(SOURCE, "mail")


@pytest.mark.parametrize("for_s", [0, -5, 10**9, 2**63])
def test_any_length_is_kept(for_s: int, tmp_path: Path) -> None:
    Paused(tmp_path).add(SOURCE, "mail", for_s=for_s)
    assert MAIL in Paused(tmp_path)


def test_looking_is_cheap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paused, "LOOK_AGAIN_S", 60.0)
    pauses = Paused(tmp_path)
    assert MAIL not in pauses
    Paused(tmp_path).add(SOURCE, "mail")
    assert MAIL not in pauses, "the file is looked at again only later"
    assert pauses.queues(SOURCE) == {"mail"}


@pytest.mark.parametrize("content", [b"", b"{", b'[{"source": 1}]', b"\xff" * 100])
def test_broken_file_pauses_nothing_and_is_replaced(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "paused").write_bytes(content)
    pauses = Paused(tmp_path)
    assert MAIL not in pauses
    pauses.add(SOURCE, "mail")
    assert MAIL in Paused(tmp_path)


def test_file_is_for_its_owner_only(tmp_path: Path) -> None:
    Paused(tmp_path).add(SOURCE, "mail")
    assert (tmp_path / "paused").stat().st_mode & 0o077 == 0


def test_what_the_disk_does_not_take_is_not_paused(tmp_path: Path) -> None:
    pauses = Paused(tmp_path)
    (tmp_path / f"paused.{os.getpid()}.new").mkdir()
    with pytest.raises(OSError, match="directory"):
        pauses.add(SOURCE, "mail")
    assert MAIL not in pauses


def test_pauses_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paused, "MOST_PAUSES", 3)
    pauses = Paused(tmp_path)
    for number in range(3):
        pauses.add(SOURCE, f"q{number}")
    for name in ("one too many", "x" * 2_000):
        with pytest.raises(CommandRefused):
            pauses.add(SOURCE, name)
    pauses.add(SOURCE, "q1", reason="once more")
    assert pauses.queues(SOURCE) == {"q0", "q1", "q2"}


def _pause_ten(folder: Path, first: int) -> None:
    pauses = Paused(folder)
    for number in range(first, first + 10):
        pauses.add(SOURCE, f"q{number}")


def test_two_processes_at_once_lose_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    others = [context.Process(target=_pause_ten, args=(tmp_path, 100 * one)) for one in range(2)]
    for other in others:
        other.start()
    for other in others:
        other.join(60)
    assert len(Paused(tmp_path).queues(SOURCE)) == 20


@pytest.mark.parametrize("as_json", [True, False])
def test_status_tells_what_is_paused(
    as_json: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("QUEUEDECK_DSN", spool.dsn())
    monkeypatch.setenv("QUEUEDECK_SPOOL", str(tmp_path))
    folder = open_spool(config.from_env(), "0" * 32).folder
    Paused(folder).add(SOURCE, "mail", for_s=60, reason="on fire\nallowed everything")
    assert status.main(as_json) == 0
    printed = capsys.readouterr().out
    if as_json:
        (told,) = json.loads(printed)["paused"]
        assert (told["source"], told["queue"]) == (SOURCE, "mail")
    else:
        (line,) = [one for one in printed.splitlines() if one.startswith("paused")]
        assert "mail of source 0123456789ab, until 20" in line
        assert line.endswith(": on fire allowed everything")
