# SPDX-License-Identifier: AGPL-3.0-only
"""The Celery application of the demo: a small shop. Any Celery code would do, nothing here knows
Queuedeck, and the agent is attached from outside.

Two things serve the count at the end: each task notes in the broker that it ran and how it ended
(`ShopTask`), and each process that publishes notes what it handed over (`note_published`).
Celery reads the broker from CELERY_BROKER_URL and CELERY_RESULT_BACKEND.
"""

import os
import random
import time
from collections.abc import Mapping
from typing import Any, cast

import celery
from celery.signals import after_task_publish
from redis import Redis

SENT = "demo:sent"
"""Set of the ids of all tasks that anybody handed to the broker."""
RAN = "demo:ran"
"""Set of the ids of all tasks whose code began to run."""
SUCCEEDED = "demo:succeeded"
FAILED = "demo:failed"

PRICES_EVERY_S = 4.0
SUPPLIER_FAILURES = 1
"""How often a supplier does not answer before it does: enough for one failed task, so that
pressing Retry shows a success."""


class CardDeclined(Exception):
    """The bank said no. Running it again will not help."""


class SupplierDown(ConnectionError):
    """The supplier's service did not answer. Running it again may help."""


class RatesUnavailable(Exception):
    """The bank's rates could not be read this time."""


_clients: dict[int, Redis] = {}


def note_client() -> Redis:
    """This process's connection for the notes; a forked child makes its own."""
    pid = os.getpid()
    if pid not in _clients:
        url = str(app.conf.broker_url)
        _clients[pid] = Redis.from_url(url, decode_responses=True)
    return _clients[pid]


class ShopTask(celery.Task):
    """Notes in the broker what the task itself sees: that it ran, and how it ended."""

    def before_start(self, task_id: str, args: object, kwargs: object) -> None:
        note_client().sadd(RAN, task_id)

    def on_success(self, retval: object, task_id: str, args: object, kwargs: object) -> None:
        note_client().sadd(SUCCEEDED, task_id)

    def on_failure(
        self, exc: BaseException, task_id: str, args: object, kwargs: object, einfo: object
    ) -> None:
        note_client().sadd(FAILED, task_id)


# Celery has no types: to the checker its decorators are Any.
app: Any = celery.Celery("shop", task_cls=ShopTask)
app.conf.update(
    broker_connection_retry_on_startup=True,
    result_expires=3600,
    task_ignore_result=False,
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,
    beat_schedule={
        "refresh prices": {"task": "shop.refresh_prices", "schedule": PRICES_EVERY_S},
    },
)


def note_published(headers: Mapping[str, str] | None = None, **_: object) -> None:
    """Runs wherever the shop publishes: producer, beat, and the worker for chains and retries.

    An engine's own retry publishes the same id again, and a set counts it once.
    """
    if headers and "id" in headers:
        note_client().sadd(SENT, headers["id"])


after_task_publish.connect(note_published, weak=False)


def work(least_s: float, most_s: float) -> None:
    """Stands for what a real task does."""
    time.sleep(random.uniform(least_s, most_s))  # noqa: S311 - no secret


@app.task(name="shop.send_receipt")
def send_receipt(order: int, email: str) -> str:
    work(0.005, 0.03)
    return f"receipt {order} to {email}"


@app.task(name="shop.resize_image")
def resize_image(path: str, width: int) -> dict[str, object]:
    work(0.3, 0.9)
    return {"path": path, "width": width, "bytes": width * 187}


@app.task(name="shop.capture_payment")
def capture_payment(order: int, amount: str, *, card_token: str) -> dict[str, object]:
    """Has a secret among its arguments. Every third bank says no."""
    work(0.02, 0.08)
    if order % 3 == 0:
        raise CardDeclined(f"order {order}: the bank declined {amount}")
    return {"order": order, "captured": amount}


@app.task(name="shop.sync_stock")
def sync_stock(supplier: str, day: int) -> int:
    """Fails the first time for each supplier and day, and works when it is retried."""
    work(0.02, 0.1)
    tries = cast("int", note_client().incr(f"demo:supplier:{supplier}:{day}"))
    if tries <= SUPPLIER_FAILURES:
        raise SupplierDown(f"{supplier} did not answer within 2 s")
    return 40 + day


@app.task(
    name="shop.fetch_rates",
    bind=True,
    autoretry_for=(RatesUnavailable,),
    retry_backoff=1,
    retry_jitter=False,
    max_retries=2,
)
def fetch_rates(self: Any, currency: str) -> str:
    """Succeeds at the second attempt, so it is seen retrying with a backoff."""
    work(0.01, 0.05)
    if self.request.retries == 0:
        raise RatesUnavailable(f"no rate for {currency} yet")
    return f"{currency} 1.0842"


@app.task(name="shop.export_orders", soft_time_limit=1)
def export_orders(year: int) -> str:
    """Takes longer than its time limit."""
    work(3, 3)
    return f"orders-{year}.csv"


@app.task(name="shop.reserve_stock")
def reserve_stock(order: int) -> int:
    work(0.01, 0.05)
    return order


@app.task(name="shop.pack_parcel")
def pack_parcel(order: int) -> int:
    work(0.05, 0.2)
    return order


@app.task(name="shop.ship_parcel")
def ship_parcel(order: int) -> str:
    work(0.02, 0.05)
    return f"parcel {order} shipped"


@app.task(name="shop.notify_customer")
def notify_customer(customer: int, text: str) -> str:
    work(0.01, 0.05)
    return f"told {customer}: {text}"


@app.task(name="shop.count_sales")
def count_sales(region: str) -> int:
    work(0.05, 0.2)
    return len(region) * 17


@app.task(name="shop.write_report")
def write_report(sales: list[int], day: int) -> str:
    work(0.02, 0.1)
    return f"day {day}: {sum(sales)} sold"


@app.task(name="shop.refresh_prices")
def refresh_prices() -> int:
    work(0.01, 0.05)
    return 412


@app.task(name="shop.ask_review")
def ask_review(order: int) -> str:
    """Sent to be run later."""
    work(0.01, 0.02)
    return f"asked for a review of order {order}"


@app.task(name="shop.send_reminder", bind=True, max_retries=None)
def send_reminder(self: Any, customer: int, due_s: float) -> str:
    """Looks whether it is time yet (seconds since 1970), and if not asks to be run again then: the
    one to cancel while it waits for its next attempt."""
    work(0.01, 0.02)
    left_s = due_s - time.time()
    if left_s > 0:
        raise self.retry(countdown=left_s)
    return f"reminded {customer}"
