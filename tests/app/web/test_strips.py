# SPDX-License-Identifier: AGPL-3.0-only
"""What every page says while something is wrong with the whole server."""

from tests.support.pages import visitor


async def test_each_page_says_why_no_event_is_stored(serving, project):
    async with visitor(serving, project) as browser:
        serving.services.ingest.health.note_refused("The disk is full. Free space.")
        for place in ("tasks", "agents", "audit"):
            page = await browser.get(f"/p/{project.slug}/{place}")
            assert page.status_code == 200
            assert "No event was stored since" in page.text
            assert "The disk is full. Free space. Agents keep their events" in page.text


async def test_the_strip_is_gone_once_events_are_stored(serving, project):
    async with visitor(serving, project) as browser:
        serving.services.ingest.health.note_refused("The disk is full.")
        serving.services.ingest.health.note_stored()
        assert "No event was stored" not in (await browser.get(f"/p/{project.slug}/tasks")).text


async def test_a_server_that_cannot_store_is_not_ready_and_says_why(serving):
    serving.services.ingest.health.note_refused("The disk is full.")
    async with serving.http() as client:
        answer = await client.get("/readyz")
    assert answer.status_code == 503
    assert "The disk is full." in answer.text
