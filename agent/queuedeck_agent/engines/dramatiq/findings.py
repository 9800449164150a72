# SPDX-License-Identifier: Apache-2.0
"""Dramatiq's settings that can hurt: middlewares that are missing."""

from typing import Any

_MISSING = {
    "TimeLimit": (
        "The TimeLimit middleware is missing: an actor that hangs keeps its thread for ever. Add "
        "it to the broker."
    ),
    "Retries": (
        "The Retries middleware is missing: a message that fails is given up at once. Add it to "
        "the broker, with max_retries=0 for actors that must not run twice."
    ),
}


def find(engine: Any) -> list[str]:
    there = {base.__name__ for one in engine.broker.middleware for base in type(one).__mro__}
    found = [text for name, text in _MISSING.items() if name not in there]
    endless = sorted(
        name for name, actor in engine.broker.actors.items() if _is_endless(actor.options)
    )
    if endless and "TimeLimit" in there:
        found.append(
            f"No time limit for {', '.join(endless[:5])}: one that hangs keeps its thread."
        )
    return found


def _is_endless(options: "dict[str, Any]") -> bool:
    return options.get("time_limit", 1) in (None, float("inf"))
