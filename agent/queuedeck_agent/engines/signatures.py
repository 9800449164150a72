# SPDX-License-Identifier: Apache-2.0
"""What is hidden in the calls of a task: `def login(user, password)`, `@redacts`, the setting."""

from collections.abc import Callable
from typing import Any

from queuedeck_agent.overrides import Hidden, hidden_in

_MAX_CACHED = 4096


class Signatures:
    """Remembers what each task's function hides. `find` gives the function of a name, or None."""

    def __init__(self, find: Callable[[str], Any]) -> None:
        self._find = find
        self._known: dict[str, Hidden] = {}

    def hidden(self, name: str) -> Hidden:
        """Only what the setting says while the function is not known here."""
        known = self._known.get(name)
        if known is None:
            function = self._find(name)
            known = hidden_in(function, name)
            if function is not None and len(self._known) < _MAX_CACHED:
                self._known[name] = known
        return known
