# SPDX-License-Identifier: AGPL-3.0-only
"""The invoices of the shop, on RQ."""

import secrets
import time
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from redis import Redis
from rq import Queue, Retry, get_current_job

import queuedeck_agent
from queuedeck.demo.shop.notes import BROKER, Notes, work

P = ParamSpec("P")
R = TypeVar("R")

notes = Notes("rq")
# RQ stores bytes of its own: a connection that does not decode them.
queue = Queue("invoices", connection=Redis.from_url(BROKER))


class MissingAddress(ValueError):
    """Nobody can be billed without one. Running it again will not help."""


class TaxOfficeBusy(ConnectionError):
    """The office took no report this time."""


def noted(function: Callable[P, R]) -> Callable[P, R]:
    """RQ has no hooks: the function itself notes that it ran."""

    @wraps(function)
    def job(*args: P.args, **kwargs: P.kwargs) -> R:
        with notes.running(_job_id()):
            return function(*args, **kwargs)

    return job


@noted
def render_pdf(order: int, customer: str) -> dict[str, object]:
    """Sends the next job itself. Some customers have no address."""
    queuedeck_agent.tag(customer)
    work(0.1, 0.4)
    if order % 30 == 13:
        raise MissingAddress(f"{customer} has no billing address")
    name = f"invoice-{order}.pdf"
    enqueue(archive_pdf, name)
    return {"file": name, "pages": 2, "kib": 48 + order % 40}


@noted
def archive_pdf(name: str) -> str:
    work(0.02, 0.1)
    return f"s3://shop-archive/2026/{name}"


@noted
def report_tax(order: int, amount: str, *, api_key: str) -> str:
    """Has a secret among its arguments. Now and then the office is busy, and RQ tries again."""
    work(0.05, 0.15)
    if notes.is_down("tax office", 20):
        raise TaxOfficeBusy("503 Service Unavailable from tax.example.org")
    return f"receipt TX-{order} for {amount} EUR"


@noted
def close_books(month: str) -> str:
    """Says how far it is; takes longer than its time limit."""
    for day in range(1, 31):
        time.sleep(0.1)
        queuedeck_agent.progress(day, 30, f"day {day} of {month}")
    return f"{month} closed"


@noted
def chase_payment(order: int, days_late: int) -> str:
    """Sent to be run later."""
    work(0.02, 0.05)
    return f"letter for order {order}, {days_late} days late"


def enqueue(function: Callable[..., object], *args: object, **options: Any) -> None:
    """Now, or `in_s` seconds from now."""
    in_s = options.pop("in_s", 0.0)
    given = {"args": args, "failure_ttl": 3600, **options}
    job = (
        queue.enqueue_in(timedelta(seconds=in_s), function, **given)
        if in_s
        else queue.enqueue(function, **given)
    )
    notes.sent(job.id)


def send(number: int, later_s: float) -> None:
    """What the website asks for in one round."""
    order = 1000 + number
    if number % 2 == 1:
        enqueue(render_pdf, order, f"customer {number % 60 + 100}")
    if number % 5 == 2:
        key = {"api_key": f"tax_{secrets.token_hex(12)}"}
        amount = f"{number % 90 + 9}.90"
        enqueue(report_tax, order, amount, kwargs=key, retry=Retry(max=2))
    if number % 30 == 9:
        enqueue(close_books, f"2026-{number % 12 + 1:02}", job_timeout=1)
    if number % 6 == 4:
        enqueue(chase_payment, order, number % 20 + 10, in_s=later_s)


def _job_id() -> str:
    job = get_current_job()
    return job.id if job is not None else ""
