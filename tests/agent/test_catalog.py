# SPDX-License-Identifier: Apache-2.0
"""What is told of registered tasks: read from functions, without calling or importing anything."""

import asyncio
from types import SimpleNamespace

import arq
import pytest
from celery import Celery, _state
from dramatiq import Actor
from dramatiq.brokers.stub import StubBroker
from huey import MemoryHuey
from taskiq import InMemoryBroker, TaskiqDepends

from queuedeck_agent import catalog, guard, wire
from queuedeck_agent.catalog import Catalogs, Registered, task_info
from queuedeck_agent.engines.arq import catalog as arq_catalog
from queuedeck_agent.engines.celery import catalog as celery_catalog
from queuedeck_agent.engines.dramatiq import catalog as dramatiq_catalog
from queuedeck_agent.engines.huey import catalog as huey_catalog
from queuedeck_agent.engines.rq import catalog as rq_catalog
from queuedeck_agent.engines.taskiq import catalog as taskiq_catalog


@pytest.fixture(autouse=True)
def nothing_shared(monkeypatch):
    """Tasks of other tests' applications, which Celery gives to every new application."""
    monkeypatch.setattr(_state, "_on_app_finalizers", set())


def send(to: str, /, subject="Hello", *more, retries: int = 3, password="hunter2hunter2", **rest):
    """Sends a mail
    to somebody.

    Nobody needs to know this.
    """


def test_parameters_say_how_callers_give_them():
    info = task_info(Registered("mail.send", send))
    assert [(p.name, p.kind, p.required) for p in info.parameters] == [
        ("to", "positional", True),
        ("subject", "either", False),
        ("more", "places", False),
        ("retries", "named", False),
        ("password", "named", False),
        ("rest", "names", False),
    ]
    assert (info.parameters[0].annotation, info.parameters[3].annotation) == ("str", "int")
    assert info.has_signature


def test_defaults_are_json_unless_they_are_hidden():
    parameters = {p.name: p.default for p in task_info(Registered("mail.send", send)).parameters}
    assert (parameters["subject"], parameters["retries"]) == ('"Hello"', "3")
    assert parameters["password"] == ""


@pytest.mark.parametrize(
    "default", [object(), {"when": object()}, ("a",), "x" * 300, float, [b"bytes"]]
)
def test_default_that_is_not_short_plain_json_is_not_told(default):
    def task(one=default): ...

    [parameter] = task_info(Registered("t", task)).parameters
    assert (parameter.default, parameter.required) == ("", False)


def test_only_the_first_paragraph_of_the_docstring_is_told():
    assert task_info(Registered("mail.send", send)).doc == "Sends a mail to somebody."


def test_secret_in_a_docstring_is_hidden():
    def task():
        """Log in with password=correct-horse-battery."""

    assert "correct-horse" not in task_info(Registered("t", task)).doc


class Odd:
    """No signature, and an evil docstring."""

    __signature__ = "nonsense"

    def __call__(self): ...


@pytest.mark.parametrize("function", [None, print, Odd(), 7], ids=["none", "builtin", "odd", "int"])
def test_odd_functions_are_told_by_name(function):
    assert task_info(Registered("odd", function)).name == "odd"


class FakeEngine:
    name = "celery"

    def __init__(self, app):
        self.app = app

    def info(self):
        return wire.EngineInfo("celery", "5.6", "5eed5eed5eed", "worker")


def celery_app(*functions):
    app = Celery("shop", set_as_current=False)
    for function in functions:
        app.task(name=function.__name__, shared=False)(function)
    return app


def own_tasks(app):
    return celery_catalog.registered(SimpleNamespace(app=app))


def taken(catalogs):
    """All that it has to say now."""
    catalogs.look_now()
    found = []
    for _ in range(100):
        found += catalogs.take()
    return found


def test_catalogue_is_told_once_and_again_when_it_has_changed():
    def pay(order): ...

    def refund(order): ...

    app = celery_app(pay)
    catalogs = Catalogs(SimpleNamespace(engines=[FakeEngine(app)]))
    first, same = taken(catalogs), taken(catalogs)
    app.task(name="refund", shared=False)(refund)
    [second] = taken(catalogs)
    assert [[task.name for task in one.tasks] for one in first] == [["pay"]]
    assert same == []
    assert [task.name for task in second.tasks] == ["pay", "refund"]


def test_catalogue_is_bounded_and_says_what_is_left_out(monkeypatch):
    monkeypatch.setattr(catalog, "MAX_TASKS", 2)

    def a(): ...
    def b(): ...
    def c(): ...

    [one] = taken(Catalogs(SimpleNamespace(engines=[FakeEngine(celery_app(a, b, c))])))
    assert ([task.name for task in one.tasks], one.left_out) == (["a", "b"], 1)


def test_large_catalogue_fits_a_frame(monkeypatch):
    def task(**_): ...

    task.__doc__ = "long " * 1_000
    monkeypatch.setattr(catalog, "MAX_BYTES", 4_096)
    many = [Registered(f"t{number:04}", task) for number in range(100)]
    monkeypatch.setattr(catalog, "registered", lambda _: many)
    [one] = taken(Catalogs(SimpleNamespace(engines=[FakeEngine(None)])))
    assert len(wire.encode(one)) < 4_200
    assert one.left_out == 100 - len(one.tasks) > 0


def test_application_that_fails_to_list_its_tasks_tells_none():
    assert taken(Catalogs(SimpleNamespace(engines=[FakeEngine(None)]))) == []
    assert guard.failures.pop("queuedeck_agent.catalog") == 1


# --- Each engine ----------------------------------------------------------------------------


def test_celery_tells_limits_and_queue_of_its_own_tasks_only():
    app = Celery("shop", set_as_current=False)
    app.conf.update(task_default_queue="mail", task_routes={"pay": {"queue": "money"}})

    @app.task(name="pay", shared=False, bind=True, max_retries=5, time_limit=30, rate_limit="10/m")
    def pay(self, order): ...

    [one] = own_tasks(app)
    info = task_info(one)
    assert (info.name, info.queue, info.max_retries, info.rate) == ("pay", "money", 5, "10/m")
    assert info.time_limit_us == 30_000_000
    assert [p.name for p in info.parameters] == ["order"]


def test_celery_retried_function_is_the_authors():
    app = Celery("shop", set_as_current=False)

    @app.task(name="pay", shared=False, autoretry_for=(KeyError,))
    def pay(order): ...

    [one] = own_tasks(app)
    assert [p.name for p in task_info(one).parameters] == ["order"]


def test_dramatiq_limits_are_the_actors_or_the_middlewares():
    broker = StubBroker()

    def pay(order): ...

    Actor(pay, broker=broker, actor_name="pay", queue_name="money", priority=0, options={})
    limited = {"max_retries": 1, "time_limit": 2_000}
    Actor(pay, broker=broker, actor_name="p2", queue_name="money", priority=0, options=limited)
    found = {one.name: one for one in dramatiq_catalog.registered(SimpleNamespace(broker=broker))}
    assert (found["pay"].max_retries, found["pay"].time_limit_s) == (20, 600)
    assert (found["p2"].max_retries, found["p2"].time_limit_s) == (1, 2)
    assert found["pay"].queue == "money"


def test_huey_fills_in_its_own_context():
    huey = MemoryHuey("money")

    @huey.task(retries=2, context=True)
    def pay(order, task=None): ...

    [one] = huey_catalog.registered(SimpleNamespace(hueys={"money": huey}))
    info = task_info(one)
    assert (info.queue, info.max_retries) == ("money", 2)
    assert [p.name for p in info.parameters] == ["order"]


def test_arq_context_is_no_parameter():
    async def pay(ctx, order): ...

    worker = SimpleNamespace(
        functions={"pay": arq.func(pay, name="pay", timeout=9, max_tries=4)},
        queue_name="money",
        max_tries=5,
        job_timeout_s=300,
    )
    [one] = arq_catalog.registered(SimpleNamespace(workers=[worker]))
    info = task_info(one)
    assert (info.queue, info.max_retries, info.time_limit_us) == ("money", 3, 9_000_000)
    assert [p.name for p in info.parameters] == ["order"]


def test_taskiq_dependencies_are_no_parameters():
    broker = InMemoryBroker()

    @broker.task("pay", retry_on_error=True, max_retries=3, timeout=7)
    async def pay(order, database=TaskiqDepends(lambda: None)): ...  # noqa: B008 - taskiq's way

    [one] = taskiq_catalog.registered(SimpleNamespace(brokers=[broker]))
    info = task_info(one)
    assert (info.max_retries, info.time_limit_us) == (3, 7_000_000)
    assert [p.name for p in info.parameters] == ["order"]
    asyncio.run(broker.shutdown())


def test_rq_registers_nothing():
    assert rq_catalog.registered(None) == []
