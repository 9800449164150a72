# SPDX-License-Identifier: AGPL-3.0-only
"""The styleguide: every component, in development only."""

import msgspec
import pytest
from tests.support.serving import serve


async def test_styleguide_does_not_exist_in_production(serving):
    async with serving.http() as client:
        assert (await client.get("/styleguide")).status_code == 404


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_styleguide_shows_all_states_in_both_themes(settings, theme):
    settings = msgspec.structs.replace(settings, development=True)
    async with serve(settings) as serving, serving.http() as client:
        page = (await client.get(f"/styleguide?theme={theme}")).text
    assert f'data-theme="{theme}"' in page
    for word in ("Scheduled", "Queued", "Running", "Retrying", "Succeeded", "Failed", "Lost"):
        assert word in page
    assert "hidden by rule “token”" in page
