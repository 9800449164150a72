# SPDX-License-Identifier: AGPL-3.0-only
"""What came of every task, as CSV or JSON: written portion by portion, whatever the size."""

from collections.abc import AsyncIterator

import msgspec

from queuedeck.db.engine import ControlDb
from queuedeck.domain.operations.queries import OperationSeen, TaskSeen, every_outcome, read_tally
from queuedeck.domain.tables import MEDIA_TYPES, csv_rows
from queuedeck.errors import NotFound

_COLUMNS = TaskSeen.__struct_fields__


def kind_of(name: str) -> str:
    """`export.csv` or `export.json`. Raises `NotFound`."""
    prefix, _, kind = name.partition(".")
    if prefix != "export" or kind not in MEDIA_TYPES:
        raise NotFound("An operation is exported as export.csv or export.json.")
    return kind


async def lines(db: ControlDb, operation: OperationSeen, kind: str) -> AsyncIterator[bytes]:
    """The file in pieces."""
    pieces = _csv(db, operation) if kind == "csv" else _json(db, operation)
    async for piece in pieces:
        yield piece


async def _csv(db: ControlDb, operation: OperationSeen) -> AsyncIterator[bytes]:
    yield csv_rows([_COLUMNS])
    async for tasks in every_outcome(db, operation.id):
        yield csv_rows([[getattr(task, name) for name in _COLUMNS] for task in tasks])


async def _json(db: ControlDb, operation: OperationSeen) -> AsyncIterator[bytes]:
    tally = await read_tally(db, operation.id)
    head = {
        "operation": {"id": operation.id, "verb": operation.verb, "filter": operation.question},
        "state": operation.state,
        "counts": tally,
    }
    yield msgspec.json.encode(head)[:-1] + b',"tasks":['
    between = b"\n"
    async for tasks in every_outcome(db, operation.id):
        yield between + b",\n".join(_json_of(task) for task in tasks)
        between = b",\n"
    yield b"\n]}\n"


def _json_of(task: TaskSeen) -> bytes:
    # Keys are beyond what a number of JSON safely holds.
    return msgspec.json.encode({**msgspec.structs.asdict(task), "task_key": str(task.task_key)})
