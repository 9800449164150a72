# SPDX-License-Identifier: AGPL-3.0-only
from asgiref.sync import sync_to_async
from django.db import transaction
from django.http import JsonResponse

from shop.tasks import ship, ship_all

SECRETS = {"password": "correct horse", "voucher": "SUMMER-42"}


def order(request, order_id):
    return JsonResponse({"task": ship.delay(order_id, **SECRETS).id})


def orders(request):
    return JsonResponse({"task": ship_all.delay([1]).id})


def committed(request, order_id):
    """As shops do it: the task is sent when the database has the order."""
    sent = {}
    with transaction.atomic():
        transaction.on_commit(lambda: sent.update(task=ship.delay(order_id, **SECRETS).id))
    return JsonResponse(sent)


async def later(request, order_id):
    sent = await sync_to_async(ship.delay)(order_id, **SECRETS)
    return JsonResponse({"task": sent.id})
