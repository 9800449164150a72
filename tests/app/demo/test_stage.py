# SPDX-License-Identifier: AGPL-3.0-only
"""The demo refuses early what cannot work."""

import socket

import pytest

from queuedeck.demo.stage import Stage
from queuedeck.errors import Unavailable


def test_taken_port_is_said_before_anything_is_started(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with Stage(tmp_path, port) as stage, pytest.raises(Unavailable, match=f"Port {port} is"):
            stage.start(1.0)
    assert list(tmp_path.iterdir()) == []


def test_stage_that_was_not_started_says_so(tmp_path):
    with pytest.raises(Unavailable, match="has not been started"):
        _ = Stage(tmp_path).made
