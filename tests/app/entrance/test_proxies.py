# SPDX-License-Identifier: AGPL-3.0-only
"""Forwarded addresses count only when a trusted proxy says so."""

import pytest

from queuedeck.entrance.proxies import TrustedProxies
from queuedeck.errors import Invalid


def seen(trusted, client, forwarded, scheme="https"):
    scope = {
        "type": "http",
        "scheme": "http",
        "client": (client, 1234),
        "headers": [
            (b"x-forwarded-for", forwarded.encode()),
            (b"x-forwarded-proto", scheme.encode()),
        ],
    }
    TrustedProxies(trusted).apply(scope)
    return scope["client"][0], scope["scheme"]


@pytest.mark.parametrize(
    ("trusted", "client", "forwarded", "result"),
    [
        ((), "10.0.0.5", "203.0.113.9", ("10.0.0.5", "http")),
        (("10.0.0.5",), "198.51.100.1", "203.0.113.9", ("198.51.100.1", "http")),
        (("10.0.0.5",), "10.0.0.5", "203.0.113.9", ("203.0.113.9", "https")),
        (("10.0.0.0/8",), "10.0.0.5", "1.2.3.4, 203.0.113.9, 10.1.1.1", ("203.0.113.9", "https")),
        (("10.0.0.5",), "10.0.0.5", "", ("10.0.0.5", "https")),
        (("10.0.0.5",), "10.0.0.5", "203.0.113.9, not-an-address", ("10.0.0.5", "https")),
        (("10.0.0.5",), "unix", "203.0.113.9", ("unix", "http")),
    ],
    ids=["none trusted", "not the proxy", "proxy", "chain", "empty", "nonsense", "no address"],
)
def test_client_is_the_last_address_outside_of_the_trusted_ones(trusted, client, forwarded, result):
    assert seen(trusted, client, forwarded) == result


def test_setting_that_is_no_address_is_refused():
    with pytest.raises(Invalid, match=r"QUEUEDECK_TRUSTED_PROXIES names 'nginx'"):
        TrustedProxies(["nginx"])
