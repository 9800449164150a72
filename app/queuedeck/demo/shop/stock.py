# SPDX-License-Identifier: AGPL-3.0-only
"""The stock of the shop, on Huey, with the work of every minute."""

import random
import secrets
from typing import Any

from huey import RedisHuey, crontab
from huey.signals import SIGNAL_ENQUEUED

from queuedeck.demo.shop.notes import BROKER, Notes, work

SUPPLIERS = ("Northwind", "Acme", "Globex")
notes = Notes("huey")
# Huey has no types: to the checker its decorators are Any.
huey: Any = RedisHuey("stock", url=BROKER, store_none=False)


class SupplierDown(ConnectionError):
    """The supplier's service did not answer. Running it again may help."""


class PriceFeedLate(Exception):
    """Today's prices are not there yet."""


class ShelfMismatch(AssertionError):
    """Somebody has to look."""


@huey.signal(SIGNAL_ENQUEUED)
def note_sent(_signal: str, task: Any) -> None:
    notes.sent(task.id)


@huey.pre_execute()
def note_ran(task: Any) -> None:
    notes.ran(task.id)


@huey.post_execute()
def note_ended(task: Any, _value: object, error: BaseException | None) -> None:
    notes.ended(task.id, well=error is None)


@huey.task()
def book_out(sku: str, pieces: int) -> int:
    work(0.01, 0.05)
    return 240 - pieces


@huey.task()
def sync_supplier(supplier: str, day: int, *, api_key: str) -> str:
    """Has a secret among its arguments. Works when it is retried."""
    work(0.05, 0.3)
    if notes.is_down(supplier, 40):
        raise SupplierDown(f"{supplier} did not answer within 2 s")
    return f"{40 + day} articles from {supplier}"


@huey.task(retries=2, retry_delay=1)
def reprice(sku: str, feed: str) -> str:
    """Now and then the feed is late, and Huey tries again."""
    work(0.02, 0.1)
    if notes.is_down("price feed", 15):
        raise PriceFeedLate(f"no prices for {sku} in {feed}")
    return f"{sku} 12.90 EUR"


@huey.task()
def check_shelf(shelf: str) -> str:
    """Now and then something is not where it belongs."""
    work(0.1, 0.5)
    if shelf == "B-4":
        raise ShelfMismatch(f"shelf {shelf}: 12 counted, 9 expected")
    return f"shelf {shelf} is right"


@huey.task()
def order_more(sku: str, pieces: int) -> str:
    """Sent to be run later."""
    work(0.02, 0.1)
    return f"{pieces} of {sku} ordered"


@huey.periodic_task(crontab())
def count_shelves() -> int:
    """Every minute."""
    work(0.5, 1.0)
    return 86


def send(number: int, later_s: float) -> None:
    """What the website asks for in one round."""
    sku = f"SKU-{number * 37 % 900 + 100}"
    book_out(sku, number % 4 + 1)
    if number % 4 == 3:
        check_shelf(f"B-{number % 24 + 1}")
    if number % 6 == 2:
        key = f"sup_{secrets.token_hex(12)}"
        sync_supplier(random.choice(SUPPLIERS), number, api_key=key)  # noqa: S311
    if number % 4 == 1:
        reprice(sku, f"prices-{number:04}.csv")
    if number % 7 == 4:
        order_more.schedule((sku, 50), delay=later_s)
