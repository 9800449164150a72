# SPDX-License-Identifier: AGPL-3.0-only
"""What a request says of itself, in applications of all three frameworks in one process.

Run by the Python of some environment. Prints JSON: place -> [route, user].
"""

import asyncio
import json
import sys

import django
import fastapi
import flask
from django.conf import settings
from django.http import JsonResponse
from django.urls import path
from fastapi.testclient import TestClient

from queuedeck_agent import guard, request
from queuedeck_agent.frameworks.fastapi import lifespan
from queuedeck_agent.frameworks.flask import Queuedeck

USER = {"X-User": "ann-7"}


def user_of(asked):
    return asked.headers.get("X-User")


def sync_view(asked, number):
    return JsonResponse(request.context(), safe=False)


async def async_view(asked, number):
    return JsonResponse(request.context(), safe=False)


urlpatterns = [path("sync/<int:number>/", sync_view), path("async/<int:number>/", async_view)]


def of_django():
    settings.configure(
        SECRET_KEY="tests only",
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=__name__,
        USE_TZ=True,
        INSTALLED_APPS=["queuedeck_agent.frameworks.django"],
        MIDDLEWARE=["queuedeck_agent.frameworks.django.middleware.RequestContext"],
        QUEUEDECK={"USER": user_of},
    )
    django.setup()
    from django.test import AsyncClient, Client

    async def asgi(address):
        return (await AsyncClient().post(address, **{"X-User": "ann-7"})).json()

    for view in ("sync", "async"):
        address = f"/{view}/7/"
        yield f"django wsgi {view}", Client().post(address, HTTP_X_USER="ann-7").json()
        yield f"django asgi {view}", asyncio.run(asgi(address))


def of_flask():
    app = flask.Flask(__name__)
    app.config["QUEUEDECK_USER"] = user_of
    Queuedeck(app)

    @app.post("/plain/<int:number>")
    def plain(number):
        return list(request.context())

    @app.post("/streamed/<int:number>")
    def streamed(number):
        def answer():
            yield json.dumps(request.context())

        return flask.Response(flask.stream_with_context(answer()))

    for view in ("plain", "streamed"):
        answer = app.test_client().post(f"/{view}/7", headers=USER)
        yield f"flask {view}", json.loads(answer.data)


def of_fastapi():
    app, mounted = fastapi.FastAPI(lifespan=lifespan(user=user_of)), fastapi.FastAPI()
    router = fastapi.APIRouter(prefix="/orders")

    @router.post("/sync/{number}")
    def sync_endpoint(number: int):
        return request.context()

    @router.post("/async/{number}")
    async def async_endpoint(number: int):
        return request.context()

    mounted.include_router(router)
    app.include_router(router, prefix="/v1")
    app.mount("/old", mounted)
    with TestClient(app) as client:
        for address in ("/v1/orders/sync", "/v1/orders/async", "/old/orders/async"):
            yield f"fastapi {address}", client.post(f"{address}/7", headers=USER).json()


if __name__ == "__main__":
    sys.modules["versions_app"] = sys.modules["__main__"]
    found = {**dict(of_django()), **dict(of_flask()), **dict(of_fastapi())}
    found["after"] = list(request.context())
    found["failures"] = dict(guard.failures)
    print(json.dumps(found))  # noqa: T201
