# SPDX-License-Identifier: AGPL-3.0-only
"""Django with Huey: `manage.py run_huey` takes the same settings as the web process."""

import pytest

DJANGO = ("-m", "django")
SETTINGS = {"DJANGO_SETTINGS_MODULE": "letters_settings"}
ROUTE = "POST /letters/(?P<letter_id>[0-9]+)"


@pytest.fixture(scope="module")
def letters(make_shop):
    shop = make_shop("django_letters")
    shop.environment |= SETTINGS
    consumer = shop.start("consumer", *DJANGO, "run_huey")
    shop.until(consumer, "Huey consumer started")
    return shop


@pytest.fixture(scope="module")
def web(letters):
    return letters.serve("web", *DJANGO, "runserver", "--noreload", "127.0.0.1:PORT")


@pytest.mark.parametrize(
    ("headers", "user"), [({"X-User": "ann-7"}, "ann-7"), ({}, ""), ({"X-Odd": "1"}, "")]
)
def test_task_of_a_request_has_its_pattern_and_user(letters, web, headers, user):
    """A function that fails costs the request nothing, and the task its user alone."""
    answer = web.post("/letters/7", headers=headers)
    assert answer.status_code == 200
    known = letters.ended("huey", answer.json()["task"])
    assert (known["route"], known["user"]) == (ROUTE, user)
    assert known["result"] == "sent 7"
    assert b"correct horse" not in b"".join(letters.api.answers)


def test_check_says_that_all_is_well(letters):
    assert letters.run("check", *DJANGO, "queuedeck_check") == 0
    assert "ok       huey queue: letters on redis://" in (letters.folder / "check.log").read_text()
