# SPDX-License-Identifier: AGPL-3.0-only
"""The newest tasks that match a filter, as CSV or JSON: written page by page, and bounded."""

from collections.abc import AsyncIterator

import msgspec

from queuedeck.domain.tables import csv_rows
from queuedeck.domain.tasks.filters import to_text
from queuedeck.history.filters import TaskFilter
from queuedeck.history.store import History
from queuedeck.history.tasks import TaskPage, TaskRow

MOST_TASKS = 10_000
"""The newest so many are written. Who wants more narrows the filter, or pages through the API."""
PAGE = 500
MOST_PAGES = 200
"""So often the search goes on where it stopped at its budget."""

_COLUMNS = tuple(name for name in TaskRow.__struct_fields__ if name != "generation")
"""The names of the API."""


async def lines(
    history: History, project_id: int, question: TaskFilter, kind: str
) -> AsyncIterator[bytes]:
    """The file in pieces; `kind` is `csv` or `json`. The first page is read before anything is
    written, so that a mistake is an answer and not half a file.
    """
    first = await history.list_tasks(project_id, question, PAGE)
    pages = _pages(history, project_id, question, first)
    return _csv(pages) if kind == "csv" else _json(pages, question)


async def _pages(
    history: History, project_id: int, question: TaskFilter, page: TaskPage
) -> AsyncIterator[TaskPage]:
    left = MOST_TASKS
    for _ in range(MOST_PAGES):
        left -= len(page.tasks)
        yield page
        if not page.after or left <= 0:
            return
        page = await history.list_tasks(project_id, question, min(PAGE, left), page.after)


async def _csv(pages: AsyncIterator[TaskPage]) -> AsyncIterator[bytes]:
    yield csv_rows([_COLUMNS])
    async for page in pages:
        yield csv_rows([[_cell(getattr(task, name)) for name in _COLUMNS] for task in page.tasks])


def _cell(value: object) -> object:
    """What is more than one value is JSON in its cell."""
    is_plain = value is None or isinstance(value, str | int)
    return value if is_plain else msgspec.json.encode(value).decode()


async def _json(pages: AsyncIterator[TaskPage], question: TaskFilter) -> AsyncIterator[bytes]:
    yield msgspec.json.encode({"filter": to_text(question)})[:-1] + b',"tasks":['
    between, after = b"\n", ""
    async for page in pages:
        if page.tasks:
            yield between + b",\n".join(_json_of(task) for task in page.tasks)
            between = b",\n"
        after = page.after
    yield b'\n],"next":' + msgspec.json.encode(after or None) + b"}\n"


def _json_of(task: TaskRow) -> bytes:
    # Keys are beyond what a number of JSON safely holds.
    fields = {name: getattr(task, name) for name in _COLUMNS}
    return msgspec.json.encode({**fields, "key": str(task.key)})
