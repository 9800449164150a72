# SPDX-License-Identifier: AGPL-3.0-only
"""The demo as a client of the public JSON API: a token, and nothing that others cannot have."""

import json
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import quote

from queuedeck.errors import Unavailable

PAGE = 200
TIMEOUT_S = 10.0


class Client:
    """One project of one server."""

    def __init__(self, url: str, project: str, token: str) -> None:
        self._url = url
        self._project = project
        self._token = token

    def is_ready(self) -> bool:
        """Whether the server takes requests."""
        try:
            with urllib.request.urlopen(f"{self._url}/readyz", timeout=2):  # noqa: S310
                return True
        except OSError:
            return False

    def tasks(self) -> list[dict[str, Any]]:
        """All tasks of the project, page by page."""
        found: list[dict[str, Any]] = []
        after = ""
        while True:
            page = self._ask("GET", f"/tasks?limit={PAGE}&after={quote(after, safe='')}")
            found += page["tasks"]
            after = page["next"] or ""
            if not after:
                return found

    def totals(self) -> dict[str, Any]:
        """Events received and lost, tasks by engine and state."""
        return self._ask("GET", "/totals")

    def retry(self, engine: str, task_id: str) -> dict[str, Any]:
        return self._act(engine, task_id, "retries")

    def cancel(self, engine: str, task_id: str) -> dict[str, Any]:
        return self._act(engine, task_id, "cancellations")

    def command(self, command_id: str) -> dict[str, Any]:
        return self._ask("GET", f"/commands/{command_id}")["command"]

    def _act(self, engine: str, task_id: str, noun: str) -> dict[str, Any]:
        return self._ask("POST", f"/tasks/{engine}/{quote(task_id, safe='')}/{noun}")["command"]

    def _ask(self, method: str, path: str) -> dict[str, Any]:
        request = urllib.request.Request(  # noqa: S310 - the URL is our own server's
            f"{self._url}/api/v1/projects/{self._project}{path}",
            method=method,
            headers={"Authorization": f"Bearer {self._token}"},
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
                return json.load(answer)
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace")[:500]
            raise Unavailable(f"{method} {path} was answered with {error.code}: {text}") from error
        except OSError as error:
            raise Unavailable(f"{method} {path} was not answered: {error}") from error
