# SPDX-License-Identifier: AGPL-3.0-only
"""The mail of the shop, on Dramatiq."""

import secrets
from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import Middleware
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from queuedeck.demo.shop.notes import BROKER, Notes, work

QUEUE = "mail"
notes = Notes("dramatiq")


class AddressRefused(Exception):
    """There is no such mailbox. Running it again will not help."""


class MailServerBusy(ConnectionError):
    """The mail server takes nothing now."""


class Noting(Middleware):
    """Notes what was sent and what ran."""

    def after_enqueue(self, broker: Any, message: Any, delay: int | None) -> None:
        notes.sent(message.message_id)

    def before_process_message(self, broker: Any, message: Any) -> None:
        notes.ran(message.message_id)

    def after_process_message(
        self, broker: Any, message: Any, *, result: Any = None, exception: Any = None
    ) -> None:
        notes.ended(message.message_id, well=exception is None)


broker = RedisBroker(url=BROKER)
broker.add_middleware(Noting())
broker.add_middleware(Results(backend=RedisBackend(url=BROKER), store_results=True))
dramatiq.set_broker(broker)


@dramatiq.actor(actor_name="mail.send_receipt", queue_name=QUEUE, max_retries=0)
def send_receipt(order: int, to: str, *, smtp_password: str) -> str:
    """Has a secret among its arguments. Some addresses do not exist."""
    work(0.02, 0.15)
    if to.endswith(".invalid"):
        raise AddressRefused(f"550 5.1.1 <{to}>: no such mailbox")
    return f"receipt for order {order} sent"


@dramatiq.actor(actor_name="mail.write_newsletter", queue_name=QUEUE, max_retries=0)
def write_newsletter(edition: int) -> str:
    """Sends the other messages itself."""
    work(0.4, 1.2)
    for reader in ("ada", "grace", "linus"):
        send_newsletter.send(f"{reader}@example.com", edition)
    return f"edition {edition}, 3 readers"


@dramatiq.actor(
    actor_name="mail.send_newsletter",
    queue_name=QUEUE,
    max_retries=3,
    min_backoff=1_000,
    max_backoff=4_000,
)
def send_newsletter(to: str, edition: int) -> str:
    """Now and then the server is busy, and Dramatiq tries again."""
    work(0.02, 0.1)
    if notes.is_down("mail server", 15):
        raise MailServerBusy("421 4.7.0 too many connections, try again later")
    return "250 2.0.0 accepted"


@dramatiq.actor(actor_name="mail.thank_customer", queue_name=QUEUE, max_retries=0)
def thank_customer(order: int, to: str) -> str:
    """Sent to be run later."""
    work(0.02, 0.1)
    return f"thanked for order {order}"


def send(number: int, later_s: float) -> None:
    """What the website asks for in one round."""
    order = 1000 + number
    place = "mail.invalid" if number % 16 == 3 else "example.com"
    customer = f"customer{number % 60 + 100}@{place}"
    send_receipt.send(order, customer, smtp_password=secrets.token_urlsafe(9))
    if number % 6 == 1:
        write_newsletter.send(number // 6 + 1)
    if number % 6 == 5:
        thank_customer.send_with_options(args=(order, customer), delay=int(later_s * 1_000))
