# SPDX-License-Identifier: AGPL-3.0-only
"""Django: a shop whose requests send Celery tasks. The DSN is in its settings alone."""

import pytest

CONNECTED = "Queuedeck: connected"


@pytest.fixture(scope="module")
def shop(make_shop):
    """Its database is there, and a worker runs."""
    shop = make_shop("django_shop")
    assert shop.run("migrate", str(shop.app_folder / "manage.py"), "migrate") == 0
    worker = ["-m", "celery", "-A", "shop", "worker", "-c", "1", "-l", "info"]
    shop.until(shop.start("worker", *worker, "--without-mingle", "--without-gossip"), " ready.")
    return shop


@pytest.fixture(scope="module")
def web(shop):
    """`runserver`, with the process that reloads it."""
    manage = str(shop.app_folder / "manage.py")
    return shop.serve("web", manage, "runserver", "127.0.0.1:PORT")


@pytest.fixture(scope="module")
def asgi(shop):
    return shop.serve("asgi", "-m", "uvicorn", "shop.asgi:application", "--port", "PORT")


def sent(web, address, **headers):
    answer = web.post(address, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()["task"]


def test_tool_of_django_is_not_attached(shop):
    log = (shop.folder / "migrate.log").read_text()
    assert "Applying" in log
    assert "ueuedeck" not in log.replace("queuedeck_agent.frameworks", "")


def test_task_of_a_request_has_route_user_and_release(shop, web):
    known = shop.ended("celery", sent(web, "/orders/7/ship/", **{"X-User": "ann"}))
    assert known["task"]["state"] == "succeeded"
    assert known["route"] == "POST /orders/<int:order_id>/ship/"
    assert known["user"] == "1"
    assert known["release"] == "shop-1.2"
    assert known["result"] == "shipped 7"


def test_secrets_in_arguments_are_redacted_by_rule_and_by_setting(shop, web):
    known = shop.ended("celery", sent(web, "/orders/8/ship/"))
    assert known["args"]["args"] == [8]
    assert set(known["args"]["kwargs"]) == {"password", "voucher"}
    everything = b"".join(shop.api.answers)
    assert b"correct horse" not in everything
    assert b"SUMMER-42" not in everything


def test_request_without_a_user_has_none(shop, web):
    known = shop.ended("celery", sent(web, "/orders/9/ship/"))
    assert (known["route"], known["user"]) == ("POST /orders/<int:order_id>/ship/", "")


def test_task_that_waits_for_the_commit_is_of_the_request(shop, web):
    known = shop.ended("celery", sent(web, "/orders/9/committed/"))
    assert known["route"] == "POST /orders/<int:order_id>/committed/"


def test_async_view_under_runserver(shop, web):
    known = shop.ended("celery", sent(web, "/orders/9/later/", **{"X-User": "ann"}))
    assert known["route"] == "POST /orders/<int:order_id>/later/"
    assert known["user"] == "1"


def test_task_that_a_worker_sends_has_no_request(shop, web):
    parent = shop.ended("celery", sent(web, "/orders"))
    assert parent["route"] == "POST /orders"
    child = shop.ended("celery", parent["result"][0])
    assert child["parent_id"] == parent["task"]["task_id"]
    assert (child["route"], child["user"]) == ("", "")


@pytest.mark.parametrize("view", ["ship", "later"])
def test_sync_and_async_views_under_asgi(shop, asgi, view):
    known = shop.ended("celery", sent(asgi, f"/orders/3/{view}/", **{"X-User": "ann"}))
    assert known["route"] == f"POST /orders/<int:order_id>/{view}/"
    assert known["user"] == "1"


def test_only_the_serving_process_of_runserver_attaches(shop, web):
    sent(web, "/orders/9/ship/")
    shop.until(web.child, CONNECTED)
    assert web.log.read_text().count(CONNECTED) == 1


def test_check_says_that_all_is_well(shop):
    code = shop.run("check", str(shop.app_folder / "manage.py"), "queuedeck_check")
    log = (shop.folder / "check.log").read_text()
    assert code == 0, log
    assert "ok       server: key accepted" in log
    assert "ok       celery app: shop.celery:app on redis://" in log
    assert "ok       request: tasks carry the route and the user of the request" in log


def test_without_a_dsn_the_shop_is_as_before(shop):
    plain = shop.serve("plain", "-m", "uvicorn", "shop.asgi:application", "--port", "PORT",
                       SHOP_DSN="")  # fmt: skip
    assert sent(plain, "/orders/4/ship/")
    assert "ueuedeck" not in plain.log.read_text()
