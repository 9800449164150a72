# SPDX-License-Identifier: AGPL-3.0-only
"""Flask: a shop behind a server that forks its workers; its requests send RQ jobs."""

import socket
import sys
from pathlib import Path

import pytest

RULE = "POST /orders/<int:order_id>"
PREFORK = str(Path(__file__).parent / "prefork.py")
AGENT = [str(Path(sys.executable).parent / "queuedeck-agent"), "run", "--"]


@pytest.fixture(scope="module")
def shop(make_shop):
    """An RQ worker runs, which does not load the application: it has the variables."""
    shop = make_shop("flask_shop")
    rq = ["-m", "rq.cli", "worker", "--url", shop.environment["SHOP_BROKER"], "flask-shop"]
    variables = {"QUEUEDECK_DSN": shop.dsn, "QUEUEDECK_SPOOL": shop.environment["SHOP_SPOOL"]}
    worker = shop.start("worker", *AGENT, sys.executable, *rq, **variables)
    shop.until(worker, "Listening on flask-shop")
    return shop


@pytest.fixture(scope="module")
def web(shop):
    return shop.serve("web", PREFORK, "flask_shop:create_app", "PORT", "2")


def sent(web, address, **headers):
    answer = web.post(address, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()["task"]


def test_task_of_a_request_has_route_and_user_and_no_secret(shop, web):
    known = shop.ended("rq", sent(web, "/orders/7/ship", **{"X-User": "ann-7"}))
    assert (known["route"], known["user"]) == (f"{RULE}/ship", "ann-7")
    assert known["result"] == "shipped 7"
    assert known["args"]["args"] == [7]
    assert b"correct horse" not in b"".join(shop.api.answers)


def test_request_is_copied_into_a_thread_by_flask(shop, web):
    known = shop.ended("rq", sent(web, "/orders/7/in-a-thread", **{"X-User": "ann-7"}))
    assert (known["route"], known["user"]) == (f"{RULE}/in-a-thread", "ann-7")


def test_response_that_is_streamed_with_its_context_is_of_the_request(shop, web):
    known = shop.ended("rq", sent(web, "/orders/7/streamed"))
    assert known["route"] == f"{RULE}/streamed"


def test_thread_that_flask_does_not_know_has_no_request(shop, web):
    known = shop.ended("rq", sent(web, "/orders/7/in-a-thread-of-its-own"))
    assert (known["route"], known["user"]) == ("", "")


def test_each_forked_worker_reports(shop, web):
    """Each keeps its connection only for one request: both get some of twenty."""
    ids = [sent(web, f"/orders/{n}/ship", Connection="close") for n in range(20)]
    origins = {shop.ended("rq", task_id)["origin"] for task_id in ids}
    assert len(origins) == 2


def test_dsn_that_cannot_be_used_is_a_warning_and_no_more(shop):
    odd = shop.serve("odd", PREFORK, "flask_shop:create_app", "PORT", "1", SHOP_DSN="nonsense")
    assert sent(odd, "/orders/4/ship")
    shop.until(odd.child, "Queuedeck: not attached.")


def test_server_that_never_answers_does_not_keep_a_request(shop):
    """A black hole: it takes connections and says nothing. Events wait, requests do not."""
    with socket.create_server(("127.0.0.1", 0)) as hole:
        key, _, project = shop.dsn.partition("@")
        port = hole.getsockname()[1]
        dsn = f"{key}@127.0.0.1:{port}/{project.partition('/')[2]}"
        web = shop.serve("hole", PREFORK, "flask_shop:create_app", "PORT", "1", SHOP_DSN=dsn)
        assert sent(web, "/orders/4/ship")
        hole.settimeout(20)
        hole.accept()[0].close()
