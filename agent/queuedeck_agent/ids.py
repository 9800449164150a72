# SPDX-License-Identifier: Apache-2.0
"""Random ids."""

import os


def new_id() -> str:
    """128 random bits as 32 hex digits."""
    return os.urandom(16).hex()
