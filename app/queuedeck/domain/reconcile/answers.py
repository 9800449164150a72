# SPDX-License-Identifier: AGPL-3.0-only
"""Reads what agents answered about tasks that seemed stuck, concludes, and files it with the tasks,
in a lane of the server's own.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec
from sqlalchemy import select

from queuedeck.domain.commands.desk import CommandDesk
from queuedeck.domain.commands.models import Command
from queuedeck.domain.commands.queries import CommandSeen, CommandState, seen
from queuedeck.domain.reconcile.judge import Answer, judge
from queuedeck.domain.reconcile.processes import Processes
from queuedeck.domain.reconcile.truth import Truths
from queuedeck.domain.tasks.ingest import Ingest
from queuedeck.history.batches import Batch
from queuedeck.history.facts import TaskChecked, Verdict
from queuedeck.history.suspects import OpenTask

_NO_ANSWER = "The agent that was asked did not answer."
_FIRM = (Verdict.LOST, Verdict.UNKNOWN)

_answers = msgspec.json.Decoder(list[Answer]).decode


class AnswerDesk(CommandDesk, Protocol):
    @property
    def ingest(self) -> Ingest: ...
    @property
    def truths(self) -> Truths: ...


async def read_answered(desk: CommandDesk, command_ids: Sequence[str]) -> list[CommandSeen]:
    """Those of these commands that have ended, one way or another."""
    ended = Command.state.not_in((CommandState.PENDING, CommandState.SENT))
    statement = select(Command).where(Command.id.in_(command_ids), ended)
    async with desk.control.read() as session:
        return [seen(row) for row in await session.scalars(statement)]


async def conclude(
    desk: AnswerDesk,
    project_id: int,
    asked: Mapping[str, OpenTask],
    found: bytes,
    processes: Processes,
    away_us: int,
) -> int:
    """File what follows from an answer about these tasks, by their ids. How many were concluded."""
    said = answers_in(found)
    now = desk.clock()
    events: list[TaskChecked] = []
    for task in asked.values():
        answer = said.get(task.task_id) or Answer(task.task_id, "", _NO_ANSWER)
        verdict, text = judge(task, answer, processes.of(task), now, away_us)
        desk.truths.note(project_id, task.key, verdict, now)
        # That nothing new is known of a task that was lost does not make it run again.
        if not (task.verdict is Verdict.LOST and verdict in _FIRM):
            worker = task.starts[-1].worker if task.starts else ""
            about_us = task.since_us if task.began else 0
            about = (now, task.source, task.task_id, task.attempt)
            events.append(TaskChecked(*about, verdict, about_us, text, worker))
    if events:
        lane = lane_of(project_id)
        last = (await desk.history.committed(project_id, [lane])).get(lane, 0)
        await desk.ingest.add(Batch(project_id, lane, "", last + 1, last + len(events), events))
    return len(events)


def answers_in(found: bytes) -> dict[str, Answer]:
    """By task id. An agent may say anything: what cannot be read is no answer."""
    try:
        return {one.id: one for one in _answers(found)} if found else {}
    except msgspec.MsgspecError:
        return {}


def lane_of(project_id: int) -> str:
    """Of the server's own conclusions; one for each project, for ever."""
    return hashlib.blake2b(f"queuedeck reconcile {project_id}".encode(), digest_size=16).hexdigest()
