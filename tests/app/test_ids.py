# SPDX-License-Identifier: AGPL-3.0-only
"""The printed form of keys."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuedeck.ids import AGENT_KEY_PREFIX, API_TOKEN_PREFIX, BASE62, is_well_formed_key, new_key

KEY = new_key(AGENT_KEY_PREFIX)


@pytest.mark.parametrize("prefix", [AGENT_KEY_PREFIX, API_TOKEN_PREFIX])
def test_new_key_is_well_formed(prefix):
    assert is_well_formed_key(new_key(prefix), prefix)


@given(st.integers(len(AGENT_KEY_PREFIX), len(KEY) - 1), st.sampled_from(BASE62))
def test_one_wrong_character_is_noticed(place, character):
    typed = KEY[:place] + character + KEY[place + 1 :]
    assert is_well_formed_key(typed, AGENT_KEY_PREFIX) is (typed == KEY)


@pytest.mark.parametrize(
    "typed",
    ["", KEY[:-1], KEY + "0", KEY.replace("qd_agt_", "qd_pat_")],
    ids=["nothing", "one short", "one more", "another prefix"],
)
def test_another_form_is_refused(typed):
    assert not is_well_formed_key(typed, AGENT_KEY_PREFIX)
