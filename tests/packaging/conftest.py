# SPDX-License-Identifier: AGPL-3.0-only
"""The wheels, built once, and an environment with the server."""

import pytest
from tests.support.e2e_wheels import build_wheels, call, make_environment


@pytest.fixture(scope="session")
def wheels(tmp_path_factory):
    return build_wheels(tmp_path_factory.mktemp("wheels"))


@pytest.fixture(scope="session")
def server_environment(wheels, tmp_path_factory):
    """The `bin` folder of an environment with both wheels, installed by plain pip."""
    python = make_environment(tmp_path_factory.mktemp("server") / "venv")
    call([python.parent / "pip", "install", "-q", wheels.agent, wheels.server])
    return python.parent
