# SPDX-License-Identifier: AGPL-3.0-only
"""The producer of the demo: a process that keeps sending the shop's tasks until SIGTERM.

`python -m queuedeck.demo.producer [--later-s SECONDS]`. One round is about a second.
"""

import argparse
import itertools
import random
import secrets
import signal
import threading
import time
from types import FrameType

from celery import chain, chord, group

from queuedeck.demo import shop

ROUND_S = 1.0
LATER_EVERY = 3
"""Rounds between reminders, and between requests for a review."""
SUPPLIERS = ("northwind", "acme", "globex")


def main() -> None:
    """Send rounds until SIGTERM. The round in hand is finished, so nothing is half sent."""
    parser = argparse.ArgumentParser(prog="queuedeck.demo.producer")
    parser.add_argument("--later-s", type=float, default=60.0)
    options = parser.parse_args()
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    for number in itertools.count(1):
        send_round(number, options.later_s)
        if stop.wait(ROUND_S):
            return


def send_round(number: int, later_s: float) -> None:
    """What the shop does in one second: mostly small tasks, now and then something larger, or
    something for later."""
    order = 1000 + number
    shop.send_receipt.delay(order, f"customer{number}@example.com")
    shop.capture_payment.delay(order, f"{number % 90 + 9}.90", card_token=_card_token())
    if number % 2 == 0:
        chain(shop.reserve_stock.s(order), shop.pack_parcel.s(), shop.ship_parcel.s()).apply_async()
    if number % 3 == 1:
        shop.resize_image.delay(f"/media/{order}.jpg", random.choice((320, 640, 1280)))  # noqa: S311
        shop.sync_stock.delay(random.choice(SUPPLIERS), number)  # noqa: S311
    if number % 4 == 2:
        shop.fetch_rates.delay(random.choice(("USD", "JPY", "CHF")))  # noqa: S311
    if number % 5 == 0:
        group(
            shop.notify_customer.s(n, "your parcel is on its way") for n in range(3)
        ).apply_async()
    if number % 6 == 3:
        sales = [shop.count_sales.s(region) for region in ("north", "south", "overseas")]
        chord(sales, shop.write_report.s(number)).apply_async()
    if number % 15 == 7:
        shop.export_orders.delay(2020 + number % 5)
    if number % LATER_EVERY == 1:
        shop.send_reminder.delay(number, time.time() + later_s)
    if number % LATER_EVERY == 2:
        shop.ask_review.apply_async((order,), countdown=later_s)


def _card_token() -> str:
    """Looks like a secret, so that redaction can be seen at work."""
    return f"tok_live_{secrets.token_hex(12)}"


if __name__ == "__main__":
    main()
