# SPDX-License-Identifier: AGPL-3.0-only
"""Where tests have their control database: each that asks runs on both."""

import pytest
from tests.support.control import new_place


@pytest.fixture(params=["sqlite", "postgres"])
def place(request, tmp_path):
    """A folder for SQLite, or the URL of a Postgres database."""
    with new_place(request.param, tmp_path) as made:
        yield made
