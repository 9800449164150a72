# SPDX-License-Identifier: AGPL-3.0-only
"""A small shop on Flask and RQ, with a factory as larger ones have it."""

import json
import os
import threading

import flask
import flask_shop_tasks
from redis import Redis
from rq import Queue

from queuedeck_agent.frameworks.flask import Queuedeck

queuedeck = Queuedeck()
orders = flask.Blueprint("orders", __name__, url_prefix="/orders")


def queue():
    return Queue("flask-shop", connection=Redis.from_url(os.environ["SHOP_BROKER"]))


def send(order_id):
    return queue().enqueue(flask_shop_tasks.ship, order_id, password="correct horse").id


@orders.post("/<int:order_id>/ship")
def ship(order_id):
    return {"task": send(order_id)}


@orders.post("/<int:order_id>/in-a-thread")
def ship_in_a_thread(order_id):
    sent = []
    work = flask.copy_current_request_context(lambda: sent.append(send(order_id)))
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return {"task": sent[0]}


@orders.post("/<int:order_id>/in-a-thread-of-its-own")
def ship_in_a_thread_of_its_own(order_id):
    sent = []
    thread = threading.Thread(target=lambda: sent.append(send(order_id)))
    thread.start()
    thread.join()
    return {"task": sent[0]}


@orders.post("/<int:order_id>/streamed")
def ship_streamed(order_id):
    """The task is sent when the server reads the response."""

    def answer():
        yield json.dumps({"task": send(order_id)})

    return flask.Response(flask.stream_with_context(answer()))


def create_app():
    app = flask.Flask(__name__)
    app.config.update(
        SECRET_KEY="tests only",
        QUEUEDECK_DSN=os.environ.get("SHOP_DSN"),
        QUEUEDECK_SPOOL=os.environ.get("SHOP_SPOOL"),
        QUEUEDECK_USER=lambda request: request.headers.get("X-User"),
    )
    queuedeck.init_app(app)
    app.register_blueprint(orders)
    return app
