# SPDX-License-Identifier: AGPL-3.0-only
"""`manage.py queuedeck_check` in projects of odd shapes, each written for one test."""

import json
import subprocess
import sys

import pytest
from tests.support import spool

SETTINGS = """
SECRET_KEY = "tests only"
ROOT_URLCONF = "{package}.urls"
INSTALLED_APPS = ["queuedeck_agent.frameworks.django"]
MIDDLEWARE = []
USE_TZ = True
"""
CELERY = """
from celery import Celery
{name} = Celery("proj", broker="redis://me:hush@broker.internal:6379/3")
"""


@pytest.fixture
def look(tmp_path):
    """Writes a project and runs the command in it: (exit code, findings, error output)."""

    def look(files, settings="", settings_module="proj.settings", dsn=None):
        package = settings_module.partition(".")[0]
        place = settings_module.replace(".", "/")
        wanted = {
            f"{package}/__init__.py": "",
            f"{place.rpartition('/')[0]}/__init__.py": "",
            f"{place}.py": SETTINGS.format(package=package) + settings,
            f"{package}/urls.py": "urlpatterns = []",
            **files,
        }
        for name, text in wanted.items():
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        done = subprocess.run(
            [sys.executable, "-m", "django", "queuedeck_check", "--json"],
            cwd=tmp_path,
            env={
                "PATH": "/usr/bin:/bin",
                "PYTHONPATH": str(tmp_path),
                "DJANGO_SETTINGS_MODULE": settings_module,
                "QUEUEDECK_DSN": spool.dsn() if dsn is None else dsn,
                "QUEUEDECK_SPOOL": str(tmp_path / "spool"),
            },
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)["steps"]

    return look


def said(findings, step):
    return [(one["ok"], one["text"]) for one in findings if one["step"] == step]


ON = " on redis://broker.internal:6379/3"


@pytest.mark.parametrize(
    ("files", "more", "place"),
    [
        ({"proj/celery.py": CELERY.format(name="app")}, {}, "proj.celery:app"),
        ({"proj/celery_app.py": CELERY.format(name="celery")}, {}, "proj.celery_app:celery"),
        ({"proj/worker.py": CELERY.format(name="odd_name")}, {}, "proj.worker:odd_name"),
        (
            {"config/celery_app.py": CELERY.format(name="app")},
            {"settings_module": "config.settings.local"},
            "config.celery_app:app",
        ),
        (
            {"shop/__init__.py": "", "shop/celery.py": CELERY.format(name="app")},
            {"settings": 'INSTALLED_APPS += ["shop"]'},
            "shop.celery:app",
        ),
        (
            {"far/__init__.py": "", "far/away.py": CELERY.format(name="it")},
            {"settings": 'QUEUEDECK = {"CELERY_APP": "far.away:it"}'},
            "far.away:it",
        ),
        (
            {"far/__init__.py": "", "far/away.py": CELERY.format(name="it")},
            {"settings": 'CELERY_APP = "far.away.it"'},
            "far.away:it",
        ),
    ],
    ids=[
        "beside the settings", "celery_app", "worker", "settings in a package", "in an app",
        "told to us", "told in general",
    ],
)  # fmt: skip
def test_celery_app_is_found_and_said_not_to_be_loaded(look, files, more, place):
    code, findings = look(files, **more)
    ok, text = said(findings, "celery app")[0]
    assert text.startswith(place + ON)
    assert "does not load it" in text
    assert not ok
    assert code == 1
    assert "hush" not in json.dumps(findings)


@pytest.mark.parametrize(
    "files",
    [
        {"proj/__init__.py": "from proj.celery import app as celery_app"},
        {"proj/urls.py": "import proj.celery\nurlpatterns = []"},
    ],
    ids=["by the package", "by the URLs"],
)
def test_celery_app_that_django_loads_is_well(look, files):
    _, findings = look({"proj/celery.py": CELERY.format(name="app"), **files})
    assert said(findings, "celery app") == [(True, "proj.celery:app" + ON)]


def test_celery_app_that_cannot_be_imported_is_told_with_its_error(look):
    code, findings = look({"proj/celery.py": "import nothing_of_that_name"})
    ok, text = said(findings, "celery app")[0]
    assert not ok
    assert "No module named 'nothing_of_that_name'" in text
    assert code == 1


def test_place_that_is_told_and_wrong_is_told(look):
    _, findings = look({}, settings='CELERY_APP = "proj.nowhere:app"')
    assert said(findings, "celery app") == [(False, "proj.nowhere:app: there is no such module")]


def test_project_without_a_task_queue_is_told_so(look):
    _, findings = look({})
    assert said(findings, "engine")[-1] == (False, "no task queue of this project was found")


@pytest.mark.parametrize(
    ("settings", "step", "text"),
    [
        (
            'RQ_QUEUES = {"mail": {"HOST": "r.internal", "PORT": 6380, "DB": 2, "PASSWORD": "x"},'
            ' "pay": {"URL": "redis://:hush@r.internal:6379/1"}}',
            "rq queue",
            ["mail on redis://r.internal:6380/2", "pay on redis://r.internal:6379/1"],
        ),
        (
            'INSTALLED_APPS += ["huey.contrib.djhuey"]\n'
            'HUEY = {"name": "shop", "huey_class": "huey.RedisHuey",'
            ' "connection": {"host": "h.internal", "port": 6379, "db": 4}}',
            "huey queue",
            ["shop on redis://h.internal:6379/4"],
        ),
        (
            "import dramatiq\nfrom dramatiq.brokers.redis import RedisBroker\n"
            'dramatiq.set_broker(RedisBroker(url="redis://:hush@d.internal:6379/5"))',
            "dramatiq broker",
            ["RedisBroker on redis://d.internal:6379/5"],
        ),
    ],
    ids=["django-rq", "huey", "dramatiq"],
)
def test_other_engines_are_named_with_their_brokers(look, settings, step, text):
    _, findings = look({}, settings=settings)
    assert said(findings, step) == [(True, one) for one in text]
    assert not said(findings, "celery app")
    assert "hush" not in json.dumps(findings)


@pytest.mark.parametrize(
    ("settings", "step"),
    [
        ('HUEY = {"name": "shop"}', "huey queue"),
        ('DRAMATIQ_BROKER = {"BROKER": "x"}', "dramatiq broker"),
    ],
)
def test_engine_that_is_configured_but_not_loaded_is_told(look, settings, step):
    _, findings = look({}, settings=settings)
    assert [ok for ok, _ in said(findings, step)] == [False]


def test_dsn_that_is_missing_is_the_first_problem(look):
    code, findings = look({}, dsn="")
    assert code == 1
    assert findings[0]["step"] == "setting"
    assert not findings[0]["ok"]
    assert not said(findings, "attachment")


def test_user_that_is_wanted_needs_the_middleware(look):
    _, findings = look({}, settings='QUEUEDECK = {"USER": True}')
    assert [ok for ok, _ in said(findings, "request")] == [False]


def test_setting_that_does_not_exist_is_told(look):
    _, findings = look({}, settings='QUEUEDECK = {"RELAESE": "1"}')
    assert (
        False,
        "Django's setting QUEUEDECK: RELAESE is no setting of Queuedeck and is ignored.",
    ) in said(findings, "setting")
