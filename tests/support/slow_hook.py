# SPDX-License-Identifier: AGPL-3.0-only
"""Loaded into a worker with `-I`: makes the agent's hook slow or broken, as nothing else would."""

import os
import time
from typing import Any

from queuedeck_agent import capture

_arguments = capture.arguments


def _slow(*args: Any) -> capture.Captured:
    if "break" in os.environ["TEST_HOOK"]:
        raise RuntimeError("a mistake of ours")
    until = time.monotonic() + 2.5
    while time.monotonic() < until:
        sum(range(1000))
    return _arguments(*args)


capture.arguments = _slow
