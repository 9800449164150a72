# SPDX-License-Identifier: AGPL-3.0-only
"""Builds events, batches and random histories for the tests of the state rules and the store."""

import hashlib
from collections.abc import Sequence

from hypothesis import strategies as st

from queuedeck.history.batches import Batch, Poison
from queuedeck.history.facts import Word
from queuedeck_agent import wire

NOW_US = 1_800_000_000_000_000
SOURCE = "0123456789ab"
LANE = "a" * 32


def uuid_of(text: str) -> str:
    """A fixed UUID for a short name."""
    digits = hashlib.sha256(text.encode()).hexdigest()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:32]}"


def published(task_id: str, at: int = 0, attempt: int = 1, **more: object) -> wire.TaskPublished:
    fields: dict[str, object] = {"name": "app.mail.send", "queue": "mail"} | more
    return wire.TaskPublished(NOW_US + at, SOURCE, task_id, attempt, **fields)


def received(task_id: str, at: int = 1, attempt: int = 1, **more: object) -> wire.TaskReceived:
    fields: dict[str, object] = {"name": "app.mail.send", "worker": "w1@host"} | more
    return wire.TaskReceived(NOW_US + at, SOURCE, task_id, attempt, **fields)


def started(task_id: str, at: int = 2, attempt: int = 1, **more: object) -> wire.TaskStarted:
    fields: dict[str, object] = {"name": "app.mail.send", "worker": "w1@host"} | more
    return wire.TaskStarted(NOW_US + at, SOURCE, task_id, attempt, **fields)


def succeeded(task_id: str, at: int = 3, attempt: int = 1, **more: object) -> wire.TaskSucceeded:
    return wire.TaskSucceeded(NOW_US + at, SOURCE, task_id, attempt, **{"run_us": 1} | more)


def failed(task_id: str, at: int = 3, attempt: int = 1, **more: object) -> wire.TaskFailed:
    fields: dict[str, object] = {"exception": "ValueError", "message": "no\nmore"} | more
    return wire.TaskFailed(NOW_US + at, SOURCE, task_id, attempt, **fields)


def retrying(task_id: str, at: int = 3, attempt: int = 1, **more: object) -> wire.TaskRetrying:
    fields: dict[str, object] = {"exception": "TimeoutError", "message": "slow"} | more
    return wire.TaskRetrying(NOW_US + at, SOURCE, task_id, attempt, **fields)


def cancelled(task_id: str, at: int = 3, attempt: int = 1, **more: object) -> wire.TaskCancelled:
    return wire.TaskCancelled(NOW_US + at, SOURCE, task_id, attempt, **more)


def lost(task_id: str, at: int = 3, attempt: int = 1, **more: object) -> wire.TaskLost:
    return wire.TaskLost(NOW_US + at, SOURCE, task_id, attempt, **more)


def source_seen(source: str = SOURCE, engine: str = "celery") -> wire.SourceSeen:
    return wire.SourceSeen(NOW_US, source, engine, f"redis://{engine}", "5.6.0")


def loss(count: int) -> wire.Loss:
    return wire.Loss(NOW_US, count, {"task-succeeded": count})


def numbers(events: Sequence[wire.AnyEvent | Poison]) -> int:
    return sum(e.count if isinstance(e, wire.Loss) else 1 for e in events)


def batch(
    events: Sequence[wire.AnyEvent | Poison],
    first: int = 1,
    lane: str = LANE,
    project_id: int = 1,
) -> Batch:
    last = first - 1 + numbers(events)
    return Batch(project_id, lane, "agent-1", first, last, list(events))


class Dictionary:
    """References of words in the order they come, as the store gives them."""

    def __init__(self) -> None:
        self._known: dict[tuple[Word, str], int] = {}
        self.words: dict[int, str] = {0: ""}

    def __call__(self, kind: Word, value: str) -> int:
        if not value:
            return 0
        number = self._known.setdefault((kind, value), len(self._known) + 1)
        self.words[number] = value
        return number


_times = st.integers(0, 40)
_workers = st.sampled_from(["", "w1@host", "w2@host"])
_names = st.sampled_from(["app.mail.send", "app.pay.charge"])
_queues = st.sampled_from(["", "mail", "pay"])
_payloads = st.sampled_from([b"", b'{"args":[1],"kwargs":{}}'])
_messages = st.sampled_from(["", "broken", "slow\nvery slow"])
_etas = st.sampled_from([0, NOW_US + 20, NOW_US + 100])


def events_of(task_ids: Sequence[str], attempts: int = 3) -> st.SearchStrategy[wire.TaskEvent]:
    """Any event about any of the tasks."""
    head = {
        "at_us": _times.map(lambda at: NOW_US + at),
        "source": st.just(SOURCE),
        "task_id": st.sampled_from(list(task_ids)),
        "attempt": st.integers(1, attempts),
    }
    call = {"name": _names, "queue": _queues, "args": _payloads, "eta_us": _etas}
    error = {"exception": st.sampled_from(["A", "B"]), "message": _messages, "worker": _workers}
    runs = st.integers(-1, 5)
    return st.one_of(
        st.builds(wire.TaskPublished, **head, **call),
        st.builds(
            wire.TaskReceived, **head, name=_names, worker=_workers, queue=_queues, eta_us=_etas
        ),
        st.builds(wire.TaskStarted, **head, **call, worker=_workers, published_us=_stamps),
        st.builds(wire.TaskSucceeded, **head, run_us=runs, result=_payloads, worker=_workers),
        st.builds(wire.TaskFailed, **head, **error, run_us=runs),
        st.builds(wire.TaskRetrying, **head, **error, run_us=runs, next_us=_etas),
        st.builds(wire.TaskCancelled, **head, worker=_workers),
        st.builds(wire.TaskLost, **head, message=_messages, worker=_workers),
    )


_stamps = _times.map(lambda at: NOW_US + at) | st.just(0)
