# SPDX-License-Identifier: AGPL-3.0-only
"""Which positional arguments are hidden, also for functions that are loaded late."""

from typing import Any

from queuedeck_agent.engines.signatures import Signatures


def login(user: str, password: str) -> None: ...


def test_function_that_is_loaded_late_hides_its_password() -> None:
    functions: dict[str, Any] = {}
    signatures = Signatures(functions.get)
    assert signatures.hidden("login") == ()
    functions["login"] = login
    assert signatures.hidden("login") == ((1, "password"),)
