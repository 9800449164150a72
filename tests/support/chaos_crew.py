# SPDX-License-Identifier: AGPL-3.0-only
"""Several numbered agents, what they wrote down, and whether the store agrees with it."""

import sys
import time
from collections import Counter
from itertools import islice
from pathlib import Path

import msgspec
from tests.support.chaos_agent import Plan
from tests.support.chaos_load import events
from tests.support.e2e_server import eventually
from tests.support.e2e_worker import REPOSITORY
from tests.support.history_events import Dictionary

from queuedeck.demo.children import start
from queuedeck.history.derive import derive
from queuedeck.history.facts import fact_of
from queuedeck.history.filters import TaskFilter
from queuedeck.history.postgres.store import PostgresHistory
from queuedeck.history.sqlite.store import SqliteHistory
from queuedeck.history.states import attempts_of, merge
from queuedeck_agent import wire

PAGE = 1_000
TAIL_BYTES = 8_192
"""In so many bytes at the end of a record there is a line of each kind."""


class Crew:
    """Use as a context manager: nobody is left behind."""

    def __init__(self, folder, url, project, agents=3, rate=400, seconds=2_400):
        self.folder, self.agents = folder, agents
        self.base_us = time.time_ns() // 1_000 - 3_600_000_000
        self._plans = [
            Plan(
                url=url,
                project=project.slug,
                key=project.dsn.partition("://")[2].partition("@")[0],
                agent=number,
                agents=agents,
                base_us=self.base_us,
                rate=rate,
                record=str(folder / f"record-{number}"),
                stop=str(folder / "stop"),
                seconds=seconds,
            )
            for number in range(agents)
        ]
        self._children = []

    def __enter__(self):
        for plan in self._plans:
            command = [sys.executable, "-m", "tests.support.chaos_agent"]
            command.append(msgspec.json.encode(plan).decode())
            place = {"PYTHONPATH": f"{REPOSITORY}:{REPOSITORY}/app:{REPOSITORY}/agent"}
            self._children.append(start(f"agent-{plan.agent}", command, self.folder, place))
        return self

    def __exit__(self, *_):
        for child in self._children:
            child.kill()

    def told(self, word):
        """The last number that each agent wrote down with this word."""
        return [self._last(plan, word) for plan in self._plans]

    @property
    def acked(self):
        """How many events were acknowledged so far, all agents together."""
        return sum(self.told("acked"))

    def more_acked(self, count, seconds=60):
        """Wait until so many more events are acknowledged."""
        goal = self.acked + count
        eventually(lambda: self._check() or self.acked >= goal, seconds, every=0.005)

    def finish(self, seconds=90):
        """No new events; all that there are get acknowledged."""
        (self.folder / "stop").touch()
        eventually(lambda: all(self.told("done")), seconds)
        wrong = [line for plan in self._plans for line in _lines(plan) if line[0] == "wrong"]
        assert not wrong, wrong
        assert self.told("done") == self.told("acked") == self.told("sent")

    def numbered(self, numbers):
        """The events of each lane up to these numbers."""
        return [
            event
            for agent, number in enumerate(numbers)
            for event in islice(events(agent, self.agents, self.base_us), number)
        ]

    def _check(self):
        for child in self._children:
            if not child.is_running() and not any(self.told("done")):
                child.check()

    def _last(self, plan, word):
        numbers = [int(line[1]) for line in _lines(plan, TAIL_BYTES) if line[0] == word]
        return numbers[-1] if numbers else 0


def _lines(plan, tail=0):
    """What an agent wrote down, by word and rest; only the end when a tail is asked for."""
    try:
        with open(plan.record, "rb") as record:  # noqa: PTH123
            size = record.seek(0, 2)
            record.seek(max(0, size - tail) if tail else 0)
            whole = record.read().decode().rpartition("\n")[0]
    except FileNotFoundError:
        return []
    lines = whole.splitlines()[1 if tail and size > tail else 0 :]
    return [line.split(" ", 1) for line in lines]


async def agree(place, project_id, sent):
    """The store of a stopped server, in a file or behind a URL, holds exactly these events: each
    once, none beside them; and each task is in the state that the pure model derives from them."""
    history = _history_at(place)
    await history.open()
    try:
        await _agree(history, project_id, sent)
    finally:
        await history.close()


async def acknowledged_are_stored(place, project_id, acked):
    """Nothing that was acknowledged is missing; more than that may be there."""
    history = _history_at(place)
    await history.open()
    try:
        expected, _, _ = _model(acked)
        rows = {row.task_id: row for row in await _all_rows(history, project_id)}
        missing = [task_id for task_id in expected if task_id not in rows]
        missing += [
            task_id
            for task_id, lines in _lines_of(acked).items()
            if task_id in rows and lines - await _timeline(history, project_id, task_id)
        ]
    finally:
        await history.close()
    return missing


def _history_at(place):
    return SqliteHistory(place) if isinstance(place, Path) else PostgresHistory(place)


async def _agree(history, project_id, sent):
    expected, facts, words = _model(sent)
    rows = await _all_rows(history, project_id)
    assert Counter(row.task_id for row in rows).most_common(1)[0][1] == 1, "a task is there twice"
    assert {row.task_id for row in rows} == set(expected)
    totals = await history.totals(project_id)
    assert (totals.events, totals.lost, totals.quarantined) == (len(sent), 0, 0)
    lines = _lines_of(sent)
    for row in rows:
        _check_row(row, expected[row.task_id], words)
        detail = await history.find_task(project_id, "celery", row.task_id)
        found = Counter((line.kind, line.attempt) for line in detail.timeline)
        assert found == lines[row.task_id], row.task_id
        assert [a.number for a in detail.attempts] == attempts_of(facts[row.task_id])
        assert detail.generations == 1


def _check_row(row, task, words):
    found = (row.state, row.attempt, row.name, row.queue, row.worker, row.exception)
    named = [words[n] for n in (task.name, task.queue, task.worker, task.exception)]
    assert found == (task.state, task.attempt, *named), row
    times = ("seen_us", "published_us", "started_us", "finished_us", "eta_us", "wait_us", "run_us")
    assert [getattr(row, name) for name in times] == [getattr(task, name) for name in times], row


def _model(sent):
    """Task id -> what is visible of it, its facts, and the words they refer to."""
    intern, facts = Dictionary(), {}
    for event in sent:
        if isinstance(event, wire.TaskEvent):
            merge(facts.setdefault(event.task_id, {}), fact_of(event, intern))
    return {task_id: derive(known) for task_id, known in facts.items()}, facts, intern.words


def _lines_of(sent):
    lines = {}
    for event in sent:
        if isinstance(event, wire.TaskEvent):
            tag = type(event).__struct_config__.tag
            lines.setdefault(event.task_id, Counter())[tag, event.attempt] += 1
    return lines


async def _timeline(history, project_id, task_id):
    detail = await history.find_task(project_id, "celery", task_id)
    return Counter((line.kind, line.attempt) for line in detail.timeline)


async def _all_rows(history, project_id):
    rows, after = [], ""
    while True:
        page = await history.list_tasks(project_id, TaskFilter(), PAGE, after)
        rows += page.tasks
        after = page.after
        if not after:
            return rows
