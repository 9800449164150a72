# SPDX-License-Identifier: AGPL-3.0-only
"""One task beside the list: the same parts as its page, fewer of them."""

import msgspec

from queuedeck.history.tasks import FINAL_STATES, TaskDetail
from queuedeck.web import urls
from queuedeck.web.views.task import TaskView


class PeekView(msgspec.Struct, frozen=True, kw_only=True):
    key: str
    task: TaskView
    url: str
    """Its own page."""
    close_url: str
    is_settled: bool
    """It has ended, and nothing that was asked of it is open: it changes no more."""


def peek_view(task: TaskView, detail: TaskDetail, project: str, text: str) -> PeekView:
    row = detail.row
    return PeekView(
        key=str(row.key),
        task=task,
        url=urls.task(project, row.engine, row.task_id, key=row.key),
        close_url=urls.tasks(project, text),
        is_settled=row.state in FINAL_STATES and not any(one.is_open for one in task.commands),
    )
