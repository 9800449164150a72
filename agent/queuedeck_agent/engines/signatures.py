# SPDX-License-Identifier: Apache-2.0
"""Which positional arguments of a function have a secret's name: `def login(user, password)`."""

import inspect
from collections.abc import Callable
from typing import Any

from queuedeck_agent import redact

Hidden = tuple[tuple[int, str], ...]
"""(position, rule of redaction)."""

_MAX_CACHED = 4096


class Signatures:
    """Remembers what each task's function hides. `find` gives the function of a name, or None."""

    def __init__(self, find: Callable[[str], Any]) -> None:
        self._find = find
        self._known: dict[str, Hidden] = {}

    def hidden(self, name: str) -> Hidden:
        """Nothing while the function is not known here."""
        known = self._known.get(name)
        if known is None:
            function = self._find(name)
            known = hidden_positions(function)
            if function is not None and len(self._known) < _MAX_CACHED:
                self._known[name] = known
        return known


def hidden_positions(function: Any) -> Hidden:
    """Nothing for functions that do not tell their parameters."""
    if function is None:
        return ()
    try:
        parameters = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return ()
    rules = ((place, redact.key_rule(one)) for place, one in enumerate(parameters))
    return tuple((place, rule) for place, rule in rules if rule)
