# SPDX-License-Identifier: Apache-2.0
"""RQ has no registry: a job names any function that its worker can import. What there is to run is
only known once it was sent.
"""

from typing import Any

from queuedeck_agent.catalog import Registered


def registered(_engine: Any) -> list[Registered]:
    """Nothing: importing the application to look for functions is not ours to do."""
    return []
