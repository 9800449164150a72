# SPDX-License-Identifier: AGPL-3.0-only
"""What the environment and the command line make of the settings."""

from pathlib import Path

import pytest

from queuedeck.errors import Invalid
from queuedeck.settings import Settings, read_settings


def test_empty_environment_gives_the_defaults():
    settings = read_settings({}, data=Path("/srv"))
    assert settings == Settings(data=Path("/srv"))


def test_empty_variables_are_not_set():
    names = ["HOST", "PORT", "PUBLIC_URL", "SECRET", "TRUSTED_PROXIES", "LOG_LEVEL", "DEVELOPMENT"]
    names += ["RETENTION_DAYS", "RETENTION_GB", "DATABASE_URL"]
    empty = dict.fromkeys((f"QUEUEDECK_{name}" for name in names), "")
    assert read_settings(empty) == read_settings({})


def test_variables_are_read():
    settings = read_settings(
        {
            "QUEUEDECK_DATA": "/srv/deck",
            "QUEUEDECK_HOST": "0.0.0.0",
            "QUEUEDECK_PORT": "0",
            "QUEUEDECK_PUBLIC_URL": "https://deck.example.com/tasks/",
            "QUEUEDECK_SECRET": "0f" * 32,
            "QUEUEDECK_TRUSTED_PROXIES": "10.0.0.5, 10.1.0.0/16,",
            "QUEUEDECK_LOG_LEVEL": "DEBUG",
            "QUEUEDECK_DEVELOPMENT": "1",
        }
    )
    assert settings == Settings(
        data=Path("/srv/deck"),
        host="0.0.0.0",
        port=0,
        public_url="https://deck.example.com/tasks/",
        secret="0f" * 32,
        trusted_proxies=("10.0.0.5", "10.1.0.0/16"),
        log_level="debug",
        development=True,
    )
    assert (settings.url, settings.is_https) == ("https://deck.example.com/tasks", True)


def test_command_line_wins():
    settings = read_settings({"QUEUEDECK_PORT": "80", "QUEUEDECK_HOST": "::1"}, port=0, host=None)
    assert (settings.port, settings.host) == (0, "::1")


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:7717"),
        ("0.0.0.0", "http://127.0.0.1:7717"),
        ("::1", "http://[::1]:7717"),
    ],
)
def test_url_names_an_address_that_can_be_opened(host, url):
    assert Settings(data=Path(), host=host).url == url


@pytest.mark.parametrize(
    ("name", "value"), [("QUEUEDECK_PORT", "70000"), ("QUEUEDECK_SECRET", "0f")]
)
def test_value_that_cannot_be_used_is_named(name, value):
    with pytest.raises(Invalid, match=name):
        read_settings({name: value})


def test_how_long_tasks_are_kept():
    settings = read_settings(
        {"QUEUEDECK_RETENTION_DAYS": "90", "QUEUEDECK_RETENTION_GB": "2.5"}, data=Path("/srv")
    )
    assert (settings.retention_days, settings.retention_bytes) == (90, 2_500_000_000)


@pytest.mark.parametrize(
    ("name", "value"),
    [("DAYS", "2"), ("DAYS", "7.5"), ("DAYS", "-1"), ("GB", "much"), ("GB", "-1"), ("GB", "nan")],
)
def test_a_retention_that_cannot_be_kept_is_refused(name, value):
    with pytest.raises(Invalid, match=f"QUEUEDECK_RETENTION_{name} is '{value}'.*from"):
        read_settings({f"QUEUEDECK_RETENTION_{name}": value})


SECRET_URL = "postgresql://deck:s3cr%40t@db.example:6543/queuedeck?sslmode=require&password=s3cr3t"


def test_database_is_a_file_until_a_url_is_given():
    data = Path("/srv")
    assert read_settings({}, data=data).control == data / "control.db"
    there = read_settings({"QUEUEDECK_DATABASE_URL": SECRET_URL}, data=data)
    assert (there.control, there.database_url) == (SECRET_URL, SECRET_URL)


def test_password_and_secret_are_never_shown():
    settings = read_settings(
        {"QUEUEDECK_DATABASE_URL": SECRET_URL, "QUEUEDECK_SECRET": "0f" * 32}, data=Path("/srv")
    )
    assert settings.database_name == "postgresql://deck@db.example:6543/queuedeck"
    assert "s3cr" not in repr(settings) + str(settings)
    assert "0f0f" not in repr(settings)


@pytest.mark.parametrize(
    "url",
    [
        "postgres://db/queuedeck",
        "postgresql:///queuedeck?host=/var/run/postgresql",
        " postgresql://a:b@[::1]:5432/queuedeck ",
    ],
)
def test_database_url_may_be(url):
    assert read_settings({"QUEUEDECK_DATABASE_URL": url}).database_url == url.strip()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("mysql://deck:s3cret@db/queuedeck", "its scheme is 'mysql'"),
        ("sqlite:////srv/control.db", "SQLite needs no URL"),
        ("postgresql+asyncpg://deck:s3cret@db/x", "its scheme is 'postgresql\\+asyncpg'"),
        ("db.example/queuedeck", "its scheme is ''"),
        ("postgresql://deck:s3cret@db", "names no database"),
        ("postgresql://deck:s3cret@db/", "names no database"),
        ("postgresql://deck:s3cret@db:port/queuedeck", "the port as a number"),
        ("postgresql://deck:s3cret@db:99999/queuedeck", "the port as a number"),
        ("postgresql://deck:s3/cret@db/queuedeck", "write %40 for @, %2F for /"),
        ("postgresql://deck@db/queue#s3cret", "more than a database"),
        ("postgresql://deck:s3cret@[::1/queuedeck", "cannot be read"),
    ],
)
def test_database_url_that_cannot_be_used_is_refused_without_its_password(url, says):
    with pytest.raises(Invalid, match=f"QUEUEDECK_DATABASE_URL.*{says}") as refused:
        read_settings({"QUEUEDECK_DATABASE_URL": url})
    assert "s3" not in refused.value.message


def test_missing_driver_is_told(monkeypatch):
    monkeypatch.setattr("queuedeck.settings.find_spec", lambda _name: None)
    with pytest.raises(Invalid, match="pip install asyncpg"):
        read_settings({"QUEUEDECK_DATABASE_URL": "postgresql://db/queuedeck"})
