# SPDX-License-Identifier: Apache-2.0
"""Which versions of an engine an adapter knows. Outside of them it watches, and does nothing."""

import re
from typing import TYPE_CHECKING

from queuedeck_agent import wire

if TYPE_CHECKING:
    from queuedeck_agent.engines.base import Engine

TESTED = {
    "celery": ">=5.2,<5.8",
    "rq": ">=1.16,<2.13",
    "dramatiq": ">=1.17,<2.3",
    "huey": ">=2.5.3,<3.6",
    "arq": ">=0.26,<0.29",
    "taskiq": ">=0.11.12,<0.14",
}
"""Engine -> versions: from the oldest that the tests run with up to the newest. See
tests/agent/matrix.toml."""


def within(version: str, supports: str) -> bool:
    """Whether `2.1.0` is in a range as `>=1.17,<2.3`; an empty range holds every version.

    Only release numbers count: `5.7.0rc1` is as good as 5.7.0.
    """
    release = _numbers(version)
    for part in filter(None, supports.split(",")):
        bound = _numbers(part)
        if part.strip().startswith(">=") and release < bound:
            return False
        if part.strip().startswith("<") and release >= bound:
            return False
    return True


def objection(engine: "Engine") -> str:
    """Why commands are refused to this engine, in a sentence for the operator; or nothing."""
    if within(engine.version, engine.supports):
        return ""
    return (
        f"This agent was tested with {engine.name.split()[0]} {engine.supports}, and the host has "
        f"{engine.version}: it observes tasks and carries out no commands."
    )


def only_observing(info: wire.EngineInfo, why: str) -> wire.EngineInfo:
    """The same engine without any verb."""
    from msgspec import structs

    refused = tuple(wire.Capability(one.verb, "none", why) for one in info.capabilities)
    return structs.replace(info, capabilities=refused)


def _numbers(text: str) -> tuple[int, ...]:
    """`>=5.6.1rc2` is (5, 6, 1); always at least three numbers, so that 2.0 equals 2.0.0."""
    found = re.match(r"[<>=\s]*(\d+(?:\.\d+)*)", text)
    numbers = [int(part) for part in found[1].split(".")] if found else []
    return tuple(numbers + [0] * (3 - len(numbers)))
