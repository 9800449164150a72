# SPDX-License-Identifier: AGPL-3.0-only
from django.http import JsonResponse

from letters.tasks import send


def user_of(request):
    if "X-Odd" in request.headers:
        raise LookupError("whose request is this?")
    return request.headers.get("X-User")


def letter(request, letter_id):
    return JsonResponse({"task": send(letter_id, "correct horse").id})
