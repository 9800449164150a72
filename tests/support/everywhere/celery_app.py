# SPDX-License-Identifier: AGPL-3.0-only
"""Celery."""

from celery import Celery
from tests.support.everywhere import charge as shop

app = Celery("shop", broker=shop.BROKER)
app.conf.update(task_default_queue=shop.QUEUE, broker_connection_retry_on_startup=True)
charge = app.task(name=shop.NAME)(shop.charge)


def send(order, password):
    charge.delay(order, password=password)
