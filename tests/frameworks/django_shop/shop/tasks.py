# SPDX-License-Identifier: AGPL-3.0-only
from celery import shared_task


@shared_task
def ship(order, *, password, voucher):
    return f"shipped {order}"


@shared_task
def ship_all(orders):
    """Sends tasks from a worker: no request is served there."""
    return [ship.delay(order, password="x", voucher="y").id for order in orders]
