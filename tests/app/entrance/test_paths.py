# SPDX-License-Identifier: AGPL-3.0-only
"""Task ids in paths: whatever an engine allows comes back as it was."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuedeck.entrance.paths import decode_id, encode_id, routed_path


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_id_is_one_segment_and_comes_back(task_id):
    path = routed_path(f"/tasks/celery/{encode_id(task_id)}/retries".encode())
    before, _, rest = path.partition("/celery/")
    segment, _, after = rest.rpartition("/")
    assert (before, after) == ("/tasks", "retries")
    assert "/" not in segment
    assert decode_id(segment) == task_id


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"/a%20b", "/a b"),
        (b"/a%2Fb", "/a%2Fb"),
        (b"/a%2fb", "/a%2fb"),
        (b"/a%252Fb", "/a%252Fb"),
        (b"/%C3%A9", "/é"),
        (b"/%ff", "/\ufffd"),
        (b"/tasks?q=a", "/tasks"),
    ],
)
def test_only_slash_and_percent_stay_encoded(raw, path):
    assert routed_path(raw) == path
