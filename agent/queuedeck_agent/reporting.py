# SPDX-License-Identifier: Apache-2.0
"""What `queuedeck_agent.progress` and `tag` do: they find the agent, if this process has one.

The agent is never started from here, nor imported: a process that reports nothing pays nothing.
"""

import sys
from typing import Any


def progress(current: Any, total: Any, message: Any) -> None:
    """Whatever the host gives: what is no amount is ignored."""
    agent = _agent()
    if agent is not None:
        agent.recorder.extras.progress(current, total, message)


def tag(tags: "tuple[Any, ...]") -> None:
    """Whatever the host gives: what is no tag is left out."""
    agent = _agent()
    if agent is not None:
        agent.recorder.extras.tag(tags)


def _agent() -> Any:
    module: Any = sys.modules.get("queuedeck_agent.agent")
    return module.current() if module is not None else None
