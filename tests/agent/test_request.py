# SPDX-License-Identifier: AGPL-3.0-only
"""The request that is being served, as the hooks of publishing see it."""

import asyncio
import contextvars
import threading
import uuid

import pytest

from queuedeck_agent import guard, request


def test_outside_of_a_request_there_is_nothing() -> None:
    assert request.context() == ("", "")


def test_request_is_read_when_asked_not_when_it_begins() -> None:
    known: dict[str, str] = {}
    one = request.begin(lambda: known.get("route", ""), lambda: known.get("user"))
    assert request.context() == ("", "")
    known.update(route="GET /a", user="u1")
    assert request.context() == ("GET /a", "u1")
    one.end()
    assert request.context() == ("", "")


def test_inner_application_speaks_until_its_request_ends() -> None:
    outer = request.begin(lambda: "GET /outer")
    inner = request.begin(lambda: "GET /inner")
    assert request.context()[0] == "GET /inner"
    inner.end()
    assert request.context()[0] == "GET /outer"
    outer.end()


def test_copied_context_says_nothing_after_the_end() -> None:
    one = request.begin(lambda: "GET /a", lambda: 1)
    copy = contextvars.copy_context()
    assert copy.run(request.context) == ("GET /a", "1")
    one.end()
    assert copy.run(request.context) == ("", "")


def test_request_may_end_in_another_context() -> None:
    one = request.begin(lambda: "GET /a")
    contextvars.Context().run(one.end)
    assert request.context() == ("", "")
    one.end()


async def test_requests_of_one_loop_do_not_mix() -> None:
    async def serve(name: str) -> str:
        one = request.begin(lambda: name)
        await asyncio.sleep(0)
        inside = await asyncio.to_thread(request.context)
        one.end()
        return inside[0]

    names = [f"GET /{number}" for number in range(5)]
    assert await asyncio.gather(*map(serve, names)) == names


def test_thread_without_the_context_says_nothing() -> None:
    one = request.begin(lambda: "GET /a")
    heard: list[tuple[str, str]] = []
    thread = threading.Thread(
        target=contextvars.Context().run, args=(lambda: heard.append(request.context()),)
    )
    thread.start()
    thread.join()
    one.end()
    assert heard == [("", "")]


UUID = uuid.UUID(int=7)


@pytest.mark.parametrize(
    ("user", "said"),
    [
        (7, "7"),
        ("ann", "ann"),
        (UUID, str(UUID)),
        (None, ""),
        (True, ""),
        (object(), ""),
        ("x" * 1000, "x" * 100),
        ("sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc", "[redacted"),
    ],
)
def test_user_is_an_id_short_and_redacted(user: object, said: str) -> None:
    one = request.begin(str, lambda: user)
    heard = request.context()[1]
    one.end()
    assert heard.startswith(said)
    assert "4eC39HqL" not in heard
    assert len(heard) <= 100


def test_failure_of_what_the_application_gave_is_contained_and_counted() -> None:
    def user() -> object:
        raise LookupError("no session")

    one = request.begin(lambda: "GET /a", user)
    assert request.context() == ("GET /a", "")
    one.end()
    assert guard.failures.pop("queuedeck_agent.request.Request.user") == 1


@pytest.mark.parametrize(
    ("method", "template", "said"),
    [
        ("POST", "/orders/{id}", "POST /orders/{id}"),
        ("GET", "orders/<int:pk>/", "GET /orders/<int:pk>/"),
        ("BREW", "/pot", "OTHER /pot"),
        (None, "/pot", "OTHER /pot"),
        ("GET", "", ""),
    ],
)
def test_route_is_method_and_template(method: object, template: str, said: str) -> None:
    assert request.named(method, template) == said
