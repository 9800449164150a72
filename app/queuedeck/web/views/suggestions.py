# SPDX-License-Identifier: AGPL-3.0-only
"""The list below the filter box: what may come next, or what is wrong so far."""

from collections.abc import Sequence

import msgspec

from queuedeck.domain.tasks.reader import FilterInvalid
from queuedeck.domain.tasks.suggest import Suggestion
from queuedeck.web.format import count, plural
from queuedeck.web.views.queryerror import QueryError, query_error


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    text: str
    """What the box holds when it is taken."""
    key: str
    value: str
    hint: str
    count: str
    is_whole: bool
    """A term with its value: taken, it is applied."""


class SuggestionsView(msgspec.Struct, frozen=True):
    offers: tuple[Offer, ...]
    error: QueryError | None
    told: str
    """For screen readers."""


def suggestions_view(
    found: Sequence[Suggestion], wrong: FilterInvalid | None, typed: str
) -> SuggestionsView:
    offers = tuple(_offer(at, one) for at, one in enumerate(found))
    told = plural(len(offers), "suggestion") if offers else ""
    return SuggestionsView(offers, query_error(wrong, typed) if wrong else None, told)


def _offer(at: int, one: Suggestion) -> Offer:
    return Offer(
        id=f"suggest-{at}",
        text=one.text,
        key=one.key,
        value=one.value,
        hint=one.hint,
        count=count(one.count) if one.count else "",
        is_whole=bool(one.value),
    )
