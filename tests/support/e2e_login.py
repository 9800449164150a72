# SPDX-License-Identifier: AGPL-3.0-only
"""Signing in without a browser, for tests that read pages."""

import contextlib

import httpx


@contextlib.contextmanager
def logged_in(server, project):
    """An HTTP client with the session of a new owner of the project."""
    made = server.cli("createuser", "reader@example.com", "--project", project)
    with httpx.Client(base_url=server.url, follow_redirects=True, timeout=15) as client:
        form = {"email": "reader@example.com", "password": made["password"]}
        answer = client.post("/login", data=form, headers={"Origin": server.url})
        assert answer.status_code == 200, answer.text
        assert client.cookies, "no session"
        yield client
