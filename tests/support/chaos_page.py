# SPDX-License-Identifier: AGPL-3.0-only
"""What people and programs see of a server that cannot store."""

import httpx


def is_unready(server):
    """What /readyz says, once it is not well."""
    answer = httpx.get(f"{server.url}/readyz", timeout=15)
    return answer.text if answer.status_code == 503 else ""


def says_why(browser, project):
    """Whether the page tells that no event is stored."""
    return "No event was stored since" in page_of(browser, project)


def page_of(browser, project):
    answer = browser.get(f"/p/{project.slug}/tasks")
    assert answer.status_code == 200
    return answer.text


def check_readable(browser, project):
    assert page_of(browser, project)
    newest = project.api.ask("GET", "/tasks", params={"limit": 5})["tasks"]
    assert len(newest) == 5
    assert project.api.task(newest[-1]["task_id"])["timeline"]
