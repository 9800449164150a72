# SPDX-License-Identifier: AGPL-3.0-only
"""How many of many secrets are hidden, and how many harmless values are hidden with them."""

from typing import Any

from tests.agent.data.harmless import all_harmless
from tests.agent.data.secrets import Secret, all_secrets

from queuedeck_agent import capture

LEAST_RECALL = 0.99
MOST_FALSE = 0.01


def captured(value: Any, place: str = "argument") -> str:
    """All that would be written of a value."""
    if place == "message":
        return capture.exception_message(ValueError(value))
    if place == "traceback":
        return capture.traceback(value)
    # Lists by the fast walk, tuples of odd values by the general one: both must hide.
    walked = capture.arguments([value, b"odd"], {}).json
    return (capture.arguments([value], {}).json + walked + capture.result(value)).decode()


def is_told(secret: Secret) -> bool:
    # Without line ends: JSON writes those in two characters.
    return any(line in captured(secret.value, secret.place) for line in secret.text.splitlines())


def is_hidden(value: Any) -> bool:
    """In an argument, or as a message."""
    return "redacted" in captured(value) or (
        isinstance(value, str) and capture.text(value) != value
    )


def test_nearly_all_secrets_are_hidden() -> None:
    secrets = all_secrets()
    missed = [f"{one.label}: {one.value!r:.160}" for one in secrets if is_told(one)]
    shown = f"recall {1 - len(missed) / len(secrets):.2%} of {len(secrets)}"
    print(shown, *missed, sep="\n")  # noqa: T201
    assert len(secrets) >= 300
    assert len(missed) <= (1 - LEAST_RECALL) * len(secrets)


def test_nearly_all_harmless_values_stay() -> None:
    values = all_harmless()
    hidden = [f"{one!r:.160}" for one in values if is_hidden(one)]
    shown = f"falsely hidden {len(hidden) / len(values):.2%} of {len(values)}"
    print(shown, *hidden, sep="\n")  # noqa: T201
    assert len(values) >= 1000
    assert len(hidden) <= MOST_FALSE * len(values)


def test_corpus_is_the_same_each_time() -> None:
    assert all_secrets() == all_secrets()
    assert all_harmless() == all_harmless()
