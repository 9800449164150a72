# SPDX-License-Identifier: AGPL-3.0-only
"""The orders of the shop, on Celery. Any Celery code would do: nothing here knows Queuedeck, and
the agent is attached from outside.
"""

import random
import secrets
import time
from collections.abc import Mapping
from typing import Any

import celery
from celery import chain, chord, group
from celery.signals import after_task_publish

from queuedeck.demo.shop.notes import BROKER, Notes, work

COURIERS = ("Northline", "Parcelo", "Swiftship")
CURRENCIES = ("USD", "JPY", "CHF")
REGIONS = ("north", "south", "overseas")
CARTS_EVERY_S = 5.0

notes = Notes("celery")


class CardDeclined(Exception):
    """The bank said no. Running it again will not help."""


class CourierDown(ConnectionError):
    """The courier's service did not answer. Running it again may help."""


class RatesUnavailable(Exception):
    """The bank's rates could not be read this time."""


class TooEarly(Exception):
    """Nobody is reminded before it is due."""


class ShopTask(celery.Task):
    """Notes what the task itself sees: that it ran, and how it ended."""

    def before_start(self, task_id: str, args: object, kwargs: object) -> None:
        notes.ran(task_id)

    def on_success(self, retval: object, task_id: str, args: object, kwargs: object) -> None:
        notes.ended(task_id, well=True)

    def on_failure(
        self, exc: BaseException, task_id: str, args: object, kwargs: object, einfo: object
    ) -> None:
        notes.ended(task_id, well=False)


# Celery has no types: to the checker its decorators are Any.
app: Any = celery.Celery("shop", broker=BROKER, backend=BROKER, task_cls=ShopTask)
app.conf.update(
    broker_connection_retry_on_startup=True,
    result_expires=3600,
    task_default_queue="orders",
    task_ignore_result=False,
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,
    beat_schedule={
        "close abandoned carts": {
            "task": "orders.close_abandoned_carts",
            "schedule": CARTS_EVERY_S,
        },
    },
)


def note_published(headers: Mapping[str, str] | None = None, **_: object) -> None:
    """Runs wherever the shop publishes: website, beat, and the worker for chains and retries."""
    if headers and "id" in headers:
        notes.sent(headers["id"])


after_task_publish.connect(note_published, weak=False)


@app.task
def capture_payment(order: int, amount: str, *, card_token: str) -> dict[str, object]:
    """Has a secret among its arguments. Now and then the bank says no."""
    work(0.02, 0.08)
    if order % 15 == 13:
        raise CardDeclined(f"order {order}: the bank declined {amount} EUR, insufficient funds")
    return {"order": order, "captured": amount, "currency": "EUR"}


@app.task
def reserve_stock(order: int) -> int:
    work(0.01, 0.05)
    return order


@app.task
def pack_parcel(order: int) -> int:
    work(0.05, 0.2)
    return order


@app.task
def ship_parcel(order: int) -> str:
    work(0.02, 0.05)
    return f"parcel {order} shipped"


@app.task
def book_courier(courier: str, order: int) -> str:
    """Works when it is retried."""
    work(0.02, 0.1)
    if notes.is_down("couriers", 15):
        raise CourierDown("the couriers' service did not answer within 2 s")
    return f"{courier} comes for order {order} at 14:30"


@app.task
def resize_image(path: str, width: int) -> dict[str, object]:
    work(0.3, 0.9)
    return {"path": path, "width": width, "bytes": width * 187}


@app.task(
    bind=True,
    autoretry_for=(RatesUnavailable,),
    retry_backoff=1,
    retry_jitter=False,
    max_retries=2,
)
def fetch_rates(self: Any, currency: str) -> str:
    """Now and then the bank is late, and Celery tries again with a backoff."""
    work(0.01, 0.05)
    if notes.is_down("rates", 20):
        raise RatesUnavailable("the bank has no rates for today yet")
    return f"EUR/{currency} 1.0842"


@app.task(soft_time_limit=1)
def export_orders(year: int) -> str:
    """Takes longer than its time limit."""
    time.sleep(3)
    return f"orders-{year}.csv"


@app.task
def notify_customer(customer: int, text: str) -> str:
    work(0.01, 0.05)
    return f"told customer {customer}: {text}"


@app.task
def count_sales(region: str) -> int:
    work(0.05, 0.2)
    return len(region) * 17


@app.task
def write_report(sales: list[int], day: int) -> str:
    work(0.02, 0.1)
    return f"day {day}: {sum(sales)} sold"


@app.task
def close_abandoned_carts() -> int:
    """Sent by beat."""
    work(0.01, 0.05)
    return 7


@app.task
def ask_review(order: int) -> str:
    """Sent to be run later."""
    work(0.01, 0.02)
    return f"asked for a review of order {order}"


@app.task(bind=True, max_retries=None)
def send_reminder(self: Any, customer: int, due_s: float) -> str:
    """Looks whether it is time yet (seconds since 1970), and if not asks to be run again then: the
    one to cancel while it waits for its next attempt."""
    work(0.01, 0.02)
    left_s = due_s - time.time()
    if left_s > 0:
        error = TooEarly(f"customer {customer} still has time to pay")
        raise self.retry(exc=error, countdown=left_s)
    return f"reminded customer {customer}"


def send(number: int, later_s: float) -> None:
    """What the website asks for in one round: mostly small things, now and then something larger,
    or something for later."""
    order = 1000 + number
    capture_payment.delay(order, f"{number % 90 + 9}.90", card_token=_card_token())
    if number % 2 == 0:
        chain(reserve_stock.s(order), pack_parcel.s(), ship_parcel.s()).apply_async()
    if number % 4 == 1:
        resize_image.delay(f"/media/{order}.jpg", random.choice((320, 640, 1280)))  # noqa: S311
        book_courier.delay(random.choice(COURIERS), order)  # noqa: S311
    if number % 4 == 2:
        fetch_rates.delay(random.choice(CURRENCIES))  # noqa: S311
    if number % 7 == 5:
        group(notify_customer.s(n, "your parcel is on its way") for n in range(3)).apply_async()
    if number % 8 == 3:
        sales = [count_sales.s(region) for region in REGIONS]
        chord(sales, write_report.s(number)).apply_async()
    if number % 15 == 7:
        export_orders.delay(2020 + number % 5)
    if number % 5 == 1:
        send_reminder.delay(number, time.time() + later_s)
    if number % 6 == 2:
        ask_review.apply_async((order,), countdown=later_s)


def _card_token() -> str:
    """Looks like a secret, so that redaction can be seen at work."""
    return f"tok_live_{secrets.token_hex(12)}"
