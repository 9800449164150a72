# SPDX-License-Identifier: AGPL-3.0-only
"""What the shop notes of its tasks is what the counts are made of."""

import pytest
from redis import Redis

from queuedeck.demo.broker import start_broker
from queuedeck.demo.shop import notes


@pytest.fixture
def broker(tmp_path, monkeypatch):
    process, url = start_broker(tmp_path)
    monkeypatch.setattr(notes, "BROKER", url)
    monkeypatch.setattr(notes, "_clients", {})
    client = Redis.from_url(url, decode_responses=True)
    yield client
    client.close()
    notes.broker().close()
    process.stop()


def noted(broker):
    return {key.removeprefix("demo:rq:"): broker.smembers(key) for key in broker.scan_iter()}


def test_task_that_runs_to_its_end_is_noted(broker):
    one = notes.Notes("rq")
    one.sent("a")
    with one.running("a"):
        pass
    assert noted(broker) == {"sent": {"a"}, "ran": {"a"}, "succeeded": {"a"}}


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_task_that_fails_is_noted_and_its_error_goes_on(broker, error):
    with pytest.raises(error), notes.Notes("rq").running("a"):
        raise error
    assert noted(broker) == {"ran": {"a"}, "failed": {"a"}}


def test_task_that_runs_again_is_noted_so(broker):
    one = notes.Notes("rq")
    for task_id in "aba":
        one.ran(task_id)
    assert noted(broker) == {"ran": {"a", "b"}, "ran_again": {"a"}}


def test_engines_have_notes_of_their_own(broker):
    notes.Notes("arq").sent("a")
    assert broker.smembers("demo:arq:sent") == {"a"}
    assert noted(broker).keys() == {"demo:arq:sent"}


def test_what_is_down_is_down_for_the_first_who_needs_it(broker):
    one = notes.Notes("rq")
    assert [one.is_down("bank", 60), one.is_down("bank", 60), one.is_down("mill", 60)] == [
        True,
        False,
        True,
    ]
    assert 0 < broker.ttl("demo:rq:down:bank") <= 60
