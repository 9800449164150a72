# SPDX-License-Identifier: AGPL-3.0-only
"""A small shop on FastAPI and taskiq. The broker is made before anything of Queuedeck is loaded."""

import asyncio
import logging
import os
from contextlib import asynccontextmanager

from fastapi import APIRouter, BackgroundTasks, FastAPI, Request, WebSocket
from fastapi_shop_tasks import broker, ship

from queuedeck_agent.frameworks.fastapi import RequestContext, lifespan

logging.basicConfig(level="INFO")


@asynccontextmanager
async def own(app):
    await broker.startup()
    yield {"opened": True}
    await broker.shutdown()


def user_of(request):
    return request.headers.get("x-user")


app = FastAPI(
    lifespan=lifespan(
        own,
        user=user_of,
        dsn=os.environ.get("SHOP_DSN"),
        spool=os.environ.get("SHOP_SPOOL"),
    )
)
kept = set()
orders = APIRouter(prefix="/orders")
mounted = FastAPI()


async def send(order_id):
    return {"task": (await ship.kiq(order_id, password="correct horse")).task_id}


@orders.post("/{order_id}/ship")
async def ship_order(order_id: int):
    return await send(order_id)


@app.post("/opened/{order_id}")
async def ship_opened(order_id: int, request: Request):
    assert request.state.opened
    return await send(order_id)


@app.post("/background/{order_id}")
async def ship_in_background(order_id: int, tasks: BackgroundTasks):
    """The task is sent when the response is out, still by this request."""
    tasks.add_task(send, order_id)
    return {}


@app.websocket("/feed/{order_id}")
async def feed(socket: WebSocket, order_id: int):
    await socket.accept()
    await socket.send_json(await send(order_id))
    await socket.close()


@app.post("/created/{order_id}")
async def ship_created(order_id: int):
    """The same task twice: inside of the request, and by a coroutine that outlives it."""
    released = asyncio.Event()

    async def outlive():
        await released.wait()
        await asyncio.sleep(0.2)
        await send(order_id + 1)

    kept.add(asyncio.create_task(outlive()))
    sent = await asyncio.create_task(send(order_id))
    released.set()
    return sent


@mounted.post("/{order_id}")
async def ship_mounted(order_id: int):
    return await send(order_id)


app.include_router(orders, prefix="/v1")
app.mount("/old", mounted)
app.mount("/shops/{shop}", mounted)

bare = FastAPI()
"""As when a server runs with its lifespan off: only the middleware, settings by variables."""
bare.add_middleware(RequestContext)
bare.include_router(orders)
