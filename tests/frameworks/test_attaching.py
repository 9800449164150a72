# SPDX-License-Identifier: AGPL-3.0-only
"""Settings from an application, and in which processes an integration starts anything."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support import spool

from queuedeck_agent import config
from queuedeck_agent.frameworks import attaching


@pytest.fixture(autouse=True)
def nothing_given(monkeypatch):
    """Each test begins without settings of an application or of the environment."""
    monkeypatch.setattr(config, "_given", {})
    monkeypatch.setattr(config, "_doubts", [])
    for name in [name for name in os.environ if name.startswith("QUEUEDECK_")]:
        monkeypatch.delenv(name)


DSN = spool.dsn()


def test_settings_of_an_application_are_read_like_variables():
    attaching.configure(
        {
            "DSN": DSN,
            "READ_ONLY": False,
            "ALLOW": ["observe", "terminate"],
            "ALLOW_TASKS": ("shop.*", "mail.*"),
            "CAPTURE_ARGS": False,
            "COMMAND_RATE": 12,
            "RELEASE": None,
        },
        "here",
    )
    read = config.from_env()
    assert read.dsn.project == "shop"
    assert read.allow == ("observe", "terminate")
    assert read.allow_tasks == ("shop.*", "mail.*")
    assert (read.capture_args, read.command_rate, read.release) == (False, 12, "")


def test_variable_goes_before_the_application(monkeypatch):
    attaching.configure({"DSN": DSN, "RELEASE": "of the code"}, "here")
    monkeypatch.setenv("QUEUEDECK_RELEASE", "of the host")
    assert config.from_env().release == "of the host"
    monkeypatch.setenv("QUEUEDECK_DSN", "")
    assert not attaching.is_wanted()


def test_unknown_setting_is_a_warning_for_log_and_dashboard():
    attaching.configure({"DSN": DSN, "RELAESE": "1"}, "here")
    attaching.configure({"DSN": DSN, "RELAESE": "1"}, "here")
    said = "here: RELAESE is no setting of Queuedeck and is ignored."
    assert config.from_env().warnings == (said,)


def test_what_cannot_be_read_changes_nothing():
    attaching.configure(None, "here")  # a mistake in the host's settings: contained
    assert config.effective().get("QUEUEDECK_DSN") is None


def test_every_setting_of_the_agent_may_be_given():
    documented = set(config.Config.__struct_fields__)
    own = {"warnings", "previous", "dsn"}
    assert {name.lower() for name in attaching.NAMES} >= documented - own


async def coroutine(request):
    return "ann"


@pytest.mark.parametrize("user", ["ann", 7, coroutine])
def test_user_that_is_no_plain_function_is_a_warning(user):
    attaching.configure({"DSN": DSN}, "here")
    assert attaching.checked_user(user, "user") is None
    assert config.from_env().warnings == (
        "user is no plain function of the request and is ignored.",
    )


SEEN = """
import json, sys
from queuedeck_agent.frameworks import attaching
attaching.configure(json.loads(sys.argv[-1]), "here")
attaching.attach()
before = "queuedeck_agent.link" in sys.modules
attaching.serve()
from queuedeck_agent import agent
link = "websockets" in sys.modules
print(json.dumps({"before": before, "agent": agent.current() is not None, "link": link}))
"""


def seen_in(folder, program, *words, **settings):
    """What a process of that command line does with these settings."""
    file = folder / program
    file.write_text(SEEN)
    given = json.dumps({"SPOOL": str(folder / "spool"), **settings})
    done = subprocess.run(
        [sys.executable, str(file), *words, given],
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return json.loads(done.stdout), done.stderr


def test_server_has_an_agent_once_it_serves(tmp_path):
    seen, _ = seen_in(tmp_path, "serve.py", DSN=DSN)
    assert seen == {"before": True, "agent": True, "link": True}


@pytest.mark.parametrize(
    ("words", "loads", "starts"),
    [
        (["runserver", "8000"], True, True),
        (["send_mails"], False, True),
        (["migrate"], False, False),
        (["test"], False, False),
        (["queuedeck_check"], False, False),
    ],
)
def test_commands_of_django(tmp_path, words, loads, starts):
    """What a server's first request would wait for is loaded by servers alone, before."""
    seen, _ = seen_in(tmp_path, "manage.py", *words, DSN=DSN)
    assert (seen["before"], seen["agent"]) == (loads, starts)


def test_without_a_dsn_nothing_is_started(tmp_path):
    seen, errors = seen_in(tmp_path, "serve.py")
    assert seen == {"before": False, "agent": False, "link": False}
    assert errors == ""


def test_dsn_that_cannot_be_used_is_one_warning(tmp_path):
    seen, errors = seen_in(tmp_path, "serve.py", DSN="nonsense")
    assert not seen["agent"]
    assert errors.count("Queuedeck: not attached.") == 1


BROKERS = """
import sys
from dramatiq.brokers.redis import RedisBroker
from tests.support import taskiq_pins
from taskiq_redis import ListQueueBroker
brokers = [RedisBroker(), ListQueueBroker("redis://nowhere:1")]
from queuedeck_agent.frameworks import attaching
attaching.configure({"DSN": sys.argv[1]}, "here")
attaching.attach()
attaching.follow_brokers()
brokers += [RedisBroker(), ListQueueBroker("redis://nowhere:1")]
for one in brokers:
    own = getattr(one, "middlewares", None) or one.middleware
    print(sum("queuedeck" in type(each).__module__ for each in own))
"""


def test_brokers_made_before_are_followed_once_like_those_made_later(tmp_path):
    (tmp_path / "brokers.py").write_text(BROKERS)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "brokers.py"), DSN],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.split() == ["2", "1", "2", "1"], done.stderr
