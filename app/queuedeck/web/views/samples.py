# SPDX-License-Identifier: AGPL-3.0-only
"""Believable records for the styleguide: what the components look like with something in them."""

import msgspec

from queuedeck.clock import MINUTE_US, SECOND_US
from queuedeck.history.tasks import (
    FINAL_STATES,
    Attempt,
    TaskDetail,
    TaskRow,
    TaskState,
    TimelineEntry,
)
from queuedeck.web.views.actions import Action, TaskActions
from queuedeck.web.views.shell import Place, ProjectChoice, Pulse, Shell, UserView
from queuedeck.web.views.task import TaskView, task_view
from queuedeck.web.views.taskline import TaskLine, task_line
from queuedeck.web.views.words import STATE_WORDS, Empty, Link

TRACEBACK = """Traceback (most recent call last):
  File "/venv/lib/python3.12/site-packages/celery/app/trace.py", line 453, in trace_task
    R = retval = fun(*args, **kwargs)
  File "/venv/lib/python3.12/site-packages/celery/app/trace.py", line 736, in __protected_call__
    return self.run(*args, **kwargs)
  File "/srv/storefront/billing/payments.py", line 141, in capture_payment
    receipt = psp.capture(intent.reference, amount, currency)
  File "/srv/storefront/psp/client.py", line 88, in capture
    return self._post("/v2/captures", body, timeout=self.timeout)
  File "/venv/lib/python3.12/site-packages/httpx/_client.py", line 1144, in post
    return self.request("POST", url, content=content)
storefront.psp.errors.GatewayTimeout: POST /v2/captures timed out after 10 s
"""
ARGS = (
    b'{"args": [12900, "EUR"], "kwargs": {"card_token": {"~redacted": "token"}, "customer": '
    b'{"email": {"~redacted": "e-mail"}, "id": "cus_Q81xV0"}, "payment_id": "pay_7fK2mQ", '
    b'"region": "eu-2", "lines": [{"sku": "SO-4", "count": 2}, {"sku": "SO-9", "count": 1}]}}'
)
_NAMES = (
    (TaskState.RUNNING, "mail.digest.build", "emails", 'user_batch=[88120, 88619], locale="de"'),
    (TaskState.FAILED, "billing.payments.capture_payment", "payments", 'region="eu-2"'),
    (TaskState.RETRYING, "billing.payments.refund_payment", "payments", 'region="eu-2"'),
    (TaskState.SUCCEEDED, "webhooks.outbound.deliver", "webhooks", 'event="order.paid"'),
    (TaskState.QUEUED, "mail.transactional.send_receipt", "emails", 'order_id="SO-481884"'),
    (TaskState.LOST, "billing.payouts.reconcile_batch", "payments", "batch=118"),
    (TaskState.CANCELLED, "mail.campaigns.send_chunk", "emails", "chunk=7"),
    (TaskState.SCHEDULED, "billing.dunning.remind", "payments", 'account="acc_91Qd", step=2'),
)


class StateSample(msgspec.Struct, frozen=True):
    name: str
    word: str


class StyleguideView(msgspec.Struct, frozen=True):
    shell: Shell
    states: tuple[StateSample, ...]
    lines: tuple[TaskLine, ...]
    task: TaskView
    empty: Empty
    lock_text: str


def styleguide_view(now_us: int, theme: str) -> StyleguideView:
    return StyleguideView(
        shell=sample_shell(theme),
        states=tuple(StateSample(state.value, STATE_WORDS[state]) for state in TaskState),
        lines=tuple(task_line(row, "storefront", now_us) for row in sample_rows(now_us)),
        task=task_view(sample_detail(now_us), "storefront", now_us, _ACTIONS, (), (), ""),
        empty=Empty("filter", "Nothing matches this filter", "812 tasks here; none fits.",
                    (Link("Clear the filter", "#"),)),
        lock_text="login of ann with [redacted: url password] refused",
    )  # fmt: skip


_ACTIONS = TaskActions(
    (
        Action(label="Cancel", key="c", icon="cancelled", url="#", hint="", why_not="It ended."),
        Action(label="Retry", key="r", icon="retrying", url="#", hint="Again", primary=True),
    ),
    (
        Action(label="Edit and retry", key="edit", icon="retrying", url="#", hint="", is_link=True),
        Action(label="Move", key="move", icon="queues", url="#", hint="", why_not="It ended."),
    ),
    (),
)


def sample_shell(theme: str = "") -> Shell:
    return Shell(
        title="Styleguide",
        project="storefront",
        project_name="storefront",
        projects=(ProjectChoice("storefront", "storefront", True), ProjectChoice("b", "b", False)),
        places=(
            Place("Tasks", "tasks", "#", True, False),
            Place("Agents", "workers", "#", False, True),
        ),
        user=UserView("ann@example.com", "AE", "owner"),
        pulse=Pulse(True, "14 agents connected", "Last event 1 s ago", "No event lost"),
        csrf_token="",
        theme=theme,
        mode="still",
    )


def sample_rows(now_us: int) -> list[TaskRow]:
    return [
        sample_row(now_us, number, state, name, queue, preview)
        for number, (state, name, queue, preview) in enumerate(_NAMES)
    ]


def sample_row(
    now_us: int, number: int, state: TaskState, name: str, queue: str, preview: str
) -> TaskRow:
    seen = now_us - (number + 1) * 41 * SECOND_US
    started = None if state in (TaskState.QUEUED, TaskState.SCHEDULED) else seen + 840_000
    ended = state in FINAL_STATES and started is not None
    has_error = state in (TaskState.FAILED, TaskState.RETRYING)
    return TaskRow(
        key=20_000 << 40 | 1_000 - number,
        engine="celery",
        source="a1b2c3d4e5f6",
        source_name="redis://broker.internal:6379/0",
        task_id=f"0b7c2e5a-91d4-4f0e-8a67-3d1f6c29e8{number:02d}",
        generation=1,
        name=name,
        queue=queue,
        worker="celery@pay-3" if started else "",
        state=state,
        attempt=(3 if has_error else 1) if started else 0,
        priority=None,
        seen_us=seen,
        published_us=seen,
        started_us=started,
        finished_us=started + 10_030_000 if ended and started else None,
        eta_us=now_us + 26 * MINUTE_US if state is TaskState.SCHEDULED else None,
        wait_us=840_000 if started else None,
        run_us=10_030_000 if ended or has_error else None,
        exception="storefront.psp.errors.GatewayTimeout" if has_error else "",
        message="POST /v2/captures timed out after 10 s" if has_error else "",
        args_preview=preview,
        cancel_requested=False,
        retry_of="",
        retried_as="",
    )


def sample_detail(now_us: int) -> TaskDetail:
    state, name, queue, preview = _NAMES[1]
    row = sample_row(now_us, 1, state, name, queue, preview)
    first = row.started_us or 0
    attempts = [_attempt(number, first + (number - 1) * 41 * SECOND_US) for number in (3, 2, 1)]
    return TaskDetail(
        row=msgspec.structs.replace(row, finished_us=attempts[0].finished_us),
        attempts=attempts,
        timeline=_timeline(row, attempts),
        args=ARGS,
        result=b"",
        seal_id="9f3a01bc",
        sealed_bytes=612,
        parent_id="3c0e8a67-0000-4f0e-8a67-3d1f6c29e800",
        root_id="3c0e8a67-0000-4f0e-8a67-3d1f6c29e800",
        group_id="",
        schedule="",
        origin="4711@front-6",
        route="POST /orders/{id}/capture",
        user="",
        exchange="",
        routing_key="payments",
        expires_us=None,
        release="1.9.0",
        generations=1,
    )


def _attempt(number: int, started: int) -> Attempt:
    last = number == 3
    finished = started + 10_030_000
    return Attempt(
        number=number,
        state=TaskState.FAILED if last else TaskState.RETRYING,
        worker="celery@pay-3",
        started_us=started,
        finished_us=finished,
        run_us=10_030_000,
        next_us=None if last else finished + 21 * SECOND_US,
        exception="storefront.psp.errors.GatewayTimeout",
        message="POST /v2/captures timed out after 10 s",
        traceback=TRACEBACK,
        times_started=1,
        conflicting=False,
    )


def _timeline(row: TaskRow, attempts: list[Attempt]) -> list[TimelineEntry]:
    entries = [TimelineEntry(at_us=row.seen_us, kind="task-published", attempt=1, worker="",
                             detail="to payments by 4711@front-6")]  # fmt: skip
    for attempt in reversed(attempts):
        kind = "task-failed" if attempt.state is TaskState.FAILED else "task-retrying"
        for at_us, what, detail in (
            (attempt.started_us, "task-started", ""),
            (attempt.finished_us, kind, "GatewayTimeout"),
        ):
            entries.append(TimelineEntry(at_us=at_us or 0, kind=what, attempt=attempt.number,
                                         worker=attempt.worker, detail=detail))  # fmt: skip
    return entries
