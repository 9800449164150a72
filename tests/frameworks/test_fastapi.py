# SPDX-License-Identifier: AGPL-3.0-only
"""FastAPI: a shop under uvicorn; its requests send taskiq tasks."""

import json
import sys
from pathlib import Path

import pytest
from tests.support.e2e_server import eventually
from websockets.sync.client import connect

AGENT = [str(Path(sys.executable).parent / "queuedeck-agent"), "run", "--"]
SECRET = b"correct horse"


@pytest.fixture(scope="module")
def shop(make_shop):
    """A taskiq worker runs, which does not load the application: it has the variables."""
    shop = make_shop("fastapi_shop")
    worker = ["-m", "taskiq", "worker", "fastapi_shop_tasks:broker", "-w", "1"]
    child = shop.start("worker", *AGENT, sys.executable, *worker, **variables(shop))
    shop.until(child, "Listening started")
    return shop


def variables(shop):
    return {"QUEUEDECK_DSN": shop.dsn, "QUEUEDECK_SPOOL": shop.environment["SHOP_SPOOL"]}


@pytest.fixture(scope="module")
def web(shop):
    return shop.serve("web", "-m", "uvicorn", "fastapi_shop:app", "--port", "PORT")


@pytest.fixture(scope="module")
def bare(shop):
    """Without its lifespan, only the middleware; attached by the variables."""
    command = ["-m", "uvicorn", "fastapi_shop:bare", "--port", "PORT", "--lifespan", "off"]
    return shop.serve("bare", *command, **variables(shop))


def sent(web, address, **headers):
    answer = web.post(address, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()["task"]


def test_task_of_a_request_has_route_and_user_and_no_secret(shop, web):
    known = shop.ended("taskiq", sent(web, "/v1/orders/7/ship", **{"X-User": "ann-7"}))
    assert (known["route"], known["user"]) == ("POST /v1/orders/{order_id}/ship", "ann-7")
    assert known["result"] == "shipped 7"
    assert known["args"]["args"] == [7]
    assert SECRET not in b"".join(shop.api.answers)


def test_own_lifespan_goes_on_as_before(shop, web):
    known = shop.ended("taskiq", sent(web, "/opened/7"))
    assert (known["route"], known["user"]) == ("POST /opened/{order_id}", "")


def test_background_task_of_a_response_is_of_its_request(shop, web):
    assert web.post("/background/31").json() == {}

    def found():
        return [task for task in shop.api.tasks() if "31" in task["args_preview"]]

    task = eventually(found)[0]
    assert shop.ended("taskiq", task["task_id"])["route"] == "POST /background/{order_id}"


def test_task_of_a_websocket_has_its_route(shop, web):
    address = str(web.client.base_url).replace("http", "ws", 1)
    with connect(f"{address}/feed/7", additional_headers={"X-User": "ann-7"}) as socket:
        task_id = json.loads(socket.recv(10))["task"]
    known = shop.ended("taskiq", task_id)
    assert (known["route"], known["user"]) == ("WEBSOCKET /feed/{order_id}", "ann-7")


def test_coroutine_is_of_the_request_until_that_ends(shop, web):
    inside = shop.ended("taskiq", sent(web, "/created/51"))
    assert inside["route"] == "POST /created/{order_id}"

    def found():
        return [task for task in shop.api.tasks() if "52" in task["args_preview"]]

    task = eventually(found)[0]
    assert shop.ended("taskiq", task["task_id"])["route"] == ""


@pytest.mark.parametrize("place", ["/old", "/shops/{shop}"])
def test_route_of_a_mounted_application_begins_with_its_place(shop, web, place):
    known = shop.ended("taskiq", sent(web, f"{place.format(shop='corner')}/7"))
    assert known["route"] == f"POST {place}/{{order_id}}"


def test_server_tells_at_its_start_that_it_is_connected(shop, web):
    shop.until(web.child, "Queuedeck: connected")
    assert web.log.read_text().count("Queuedeck: connected") == 1


def test_server_ends_in_order(shop):
    """In time, with what it had to send: uvicorn ends itself by the signal that it got."""
    web = shop.serve("short", "-m", "uvicorn", "fastapi_shop:app", "--port", "PORT")
    task_id = sent(web, "/opened/8")
    assert web.child.stop()
    assert shop.ended("taskiq", task_id)["route"] == "POST /opened/{order_id}"


def test_middleware_alone_is_enough_where_the_variables_are(shop, bare):
    known = shop.ended("taskiq", sent(bare, "/orders/7/ship"))
    assert known["route"] == "POST /orders/{order_id}/ship"
