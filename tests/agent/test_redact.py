# SPDX-License-Identifier: AGPL-3.0-only
"""Secrets are hidden by key and by look; what only resembles one stays readable."""

import time

import pytest
from benchmarks import payload

from queuedeck_agent import redact

JWT = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N"

SECRETS = {
    "jwt": ("jwt", JWT),
    "aws": ("aws key", "AKIAIOSFODNN7EXAMPLE"),
    "github": ("token", "ghp_16C7e42F292c6912E7710c838347Ae178B4a"),
    "github-oauth": ("token", "gho_16C7e42F292c6912E7710c838347Ae178B4a"),
    "github-fine": ("token", "github_pat_11ABCDEFG0abcdefghij_KLMNOPQRSTUVWX"),
    "gitlab": ("token", "glpat-Zx3kQw9Lm2Np7Rt5Vy8B"),
    "slack": ("token", "xoxb-123456789012-1234567890123-AbCdEfGhIjKl"),
    "stripe": ("token", "sk_live_51HxQ2eZvKYlo2C0aBcD9"),
    "openai": ("token", "sk-proj-abcdEFGH1234ijklMNOP5678"),
    "google": ("token", "AIzaSyD4iE2xVSpkLLOXoyqT-RuPwURN3ddScAI"),
    "sendgrid": ("token", "SG.ngeVfQFYQlKU0ufo8x5d1A.TwL2iGABf9DHoTf"),
    "card": ("card number", "4111 1111 1111 1111"),
    "pem": (
        "private key",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\n-----END RSA PRIVATE KEY-----",
    ),
}

PARTS = {
    "url": ("postgres://app:s3cr3t!@db:5432/shop", "s3cr3t!"),
    "bearer": ("Authorization: Bearer abc123def456ghi", "abc123def456ghi"),
    "assigned": ("login failed: password=hunter2 user=bob", "hunter2"),
    "quoted": ("{'password': 'two words'}", "two words"),
    "json": ('{"api_key": "k-12345678"}', "k-12345678"),
    "query": ("GET /?a=1&token=zxcvbn987&b=2", "zxcvbn987"),
    "after a word": (
        "the API key 9f8e7d6c5b4a39281706f5e4 was refused",
        "9f8e7d6c5b4a39281706f5e4",
    ),
    "webhook": (
        "https://hooks.slack.com/services/T000/B000/XXXXXXXX1234",
        "T000/B000/XXXXXXXX1234",
    ),
    "in the middle": (f"header {JWT} refused", JWT),
}

HARMLESS = [
    "KeyError: 'user_id'",
    "password=None, token=self.token",
    "max_tokens=4096 prompt_tokens: 12",
    "2026-11-21 02:29:10.123456 +0000",
    "1795229605702667 1795229605705023",
    "the secretary passed the tokenizer a bearer of news",
    "https://example.com/a?b=c@d",
    "task-4f9a8b7c-6d5e-4f3a-2b1c-0d9e8f7a6b5c",
    "SKU-1001-RED",
    "4111 1111 1111 1112",
]


@pytest.mark.parametrize(("rule", "secret"), SECRETS.values(), ids=SECRETS)
def test_whole_secret_becomes_a_marker(rule: str, secret: str) -> None:
    assert redact.redact_value({"note": secret}) == {"note": {redact.REDACTED_KEY: rule}}


@pytest.mark.parametrize(("rule", "secret"), SECRETS.values(), ids=SECRETS)
def test_secret_inside_a_text_is_cut_out(rule: str, secret: str) -> None:
    assert redact.redact_text(f"before {secret} after") == f"before [redacted: {rule}] after"


@pytest.mark.parametrize(("text", "secret"), PARTS.values(), ids=PARTS)
def test_secret_part_of_a_text_is_hidden(text: str, secret: str) -> None:
    assert secret not in redact.redact_text(text)


@pytest.mark.parametrize("text", HARMLESS)
def test_harmless_text_stays_as_it_is(text: str) -> None:
    assert redact.redact_text(text) == text


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "PASSWORD",
        "db_password",
        "userPassword",
        "api_token",
        "apiKey",
        "API-KEY",
        "x-api-key",
        "secret_key",
        "access_token",
        "accesstoken",
        "client_secret",
        "Authorization",
        "cookie",
        "pin",
        "card_number",
        "cvv",
        "private_key",
        "AWS_SECRET_ACCESS_KEY",
        "sessionid",
        "csrf_token",
        "credentials",
        "dsn",
    ],
)
def test_key_hides_its_value(key: str) -> None:
    assert redact.key_rule(key)


@pytest.mark.parametrize(
    "key",
    [
        "token_count",
        "max_tokens",
        "tokenizer",
        "author",
        "authored",
        "key",
        "keyboard",
        "monkey",
        "passenger",
        "compass",
        "password_changed_at",
        "secretary",
        "pinned",
        "pineapple",
        "sort_key",
        "foreign_key",
        "token_type",
        "user",
    ],
)
def test_key_that_only_resembles_hides_nothing(key: str) -> None:
    assert redact.key_rule(key) == ""


def test_hidden_key_keeps_what_says_nothing() -> None:
    value = {"password": None, "token": "", "has_password": True}
    assert redact.redact_value(value) == value


def test_hidden_key_hides_a_container_whole() -> None:
    assert redact.redact_value({"credentials": {"user": "bob"}}) == {
        "credentials": redact.marker("secret")
    }


def test_redaction_reaches_into_nested_values() -> None:
    value = {"a": [{"b": ({"token": "abc"},)}]}
    assert redact.redact_value(value) == {"a": [{"b": [{"token": redact.marker("token")}]}]}


def test_redaction_twice_is_redaction_once() -> None:
    once = redact.redact_value({"password": "hunter2", "text": "token=abcdef123"})
    assert redact.redact_value(once) == once


def test_card_number_as_number_is_hidden() -> None:
    assert redact.redact_value([4111111111111111]) == [redact.marker("card number")]


def test_operator_adds_names() -> None:
    redact.hide_names(("iban", "X-Ray"))
    assert redact.key_rule("IBAN") == "name"
    assert redact.key_rule("x_ray") == "name"


@pytest.mark.parametrize(
    "text",
    [
        "eyJ" * 350_000,
        "-----BEGIN " * 95_000,
        "4 " * 500_000,
        "://a:" * 200_000,
        "password=" * 110_000,
        "bearer " * 140_000,
        "key is " * 140_000,
        "sk-" * 350_000,
        "eyJaaaaaaaa-" * 85_000,
        "mysql a -" * 110_000,
        " -u aaaa" * 130_000,
        "auth=('a', " * 90_000,
        "signature=&" * 95_000,
        "1234567:AA" * 100_000,
        "MTaa.aaaaaa." * 85_000,
        "M" * 1_000_000,
        "://" + "a" * 1_000_000 + "@",
        "key-0123abc" * 95_000,
        "token: str " * 95_000,
        "/api/webhooks/1" * 70_000,
        'password = "' * 85_000,
    ],
    ids=lambda text: text[:12],
)
def test_a_megabyte_of_bait_takes_linear_time(text: str) -> None:
    part = _least_cpu_s(text[: len(text) // 8])
    assert _least_cpu_s(text) < 0.05 + 24 * part


def _least_cpu_s(text: str) -> float:
    """Of three times, by the thread's own clock: whatever else the machine does."""
    times: list[float] = []
    for _ in range(3):
        started = time.thread_time()
        redact.redact_text(text)
        times.append(time.thread_time() - started)
    return min(times)


def test_standard_payload_loses_exactly_its_secret() -> None:
    shown = redact.redact_value([payload.ARGS, payload.KWARGS])
    hidden = {**payload.KWARGS, "api_token": redact.marker("token")}
    assert shown == [payload.ARGS, hidden]
