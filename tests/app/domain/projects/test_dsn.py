# SPDX-License-Identifier: AGPL-3.0-only
"""The DSN: printed and read back; damaged ones are refused without repeating their secrets."""

import pytest

from queuedeck.domain.projects.dsn import SealKey, format_dsn, is_insecure, new_seal_key, parse_dsn
from queuedeck.errors import Invalid

SEAL = SealKey("0a1b2c3d", bytes(range(32)))
KEY = "qd_agt_0123456789"
ROOT = b"\xff" * 32
GOOD = format_dsn("https://deck.example.com/", KEY, "shop", SEAL, ROOT)


def test_dsn_has_the_fixed_form():
    assert GOOD == (
        "https://qd_agt_0123456789@deck.example.com/shop"
        "?seal=0a1b2c3d.AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
        "&root=__________________________________________8"
    )


@pytest.mark.parametrize(
    ("url", "begins", "insecure"),
    [
        ("http://127.0.0.1:7717", "http://qd_agt_0123456789@127.0.0.1:7717/shop?", False),
        ("http://localhost:7717", "http://qd_agt_0123456789@localhost:7717/shop?", False),
        ("http://[::1]:7717", "http://qd_agt_0123456789@[::1]:7717/shop?", False),
        ("http://10.0.0.1:80", "http://qd_agt_0123456789@10.0.0.1:80/shop?", True),
        ("http://deck.internal", "http://qd_agt_0123456789@deck.internal/shop?", True),
        ("https://x.example/base", "https://qd_agt_0123456789@x.example/base/shop?", False),
    ],
)
def test_plain_http_off_loopback_is_marked_insecure(url, begins, insecure):
    dsn = format_dsn(url, KEY, "shop", SEAL, ROOT)
    assert dsn.startswith(begins)
    assert dsn.endswith("&insecure=1") is insecure
    assert is_insecure(url) is insecure
    assert parse_dsn(dsn).project == "shop"


def test_dsn_can_be_read_back():
    found = parse_dsn(f"  {GOOD}\n")
    assert (found.agent_key, found.project, found.seal) == (KEY, "shop", SEAL)


def test_sealing_keys_are_new_each_time():
    first, second = new_seal_key(), new_seal_key()
    assert first.key != second.key
    assert (len(first.key), len(first.id)) == (32, 8)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "https://deck.example.com/shop?seal=x",
        GOOD.partition("?")[0],
        GOOD.replace("https", "ftp"),
        GOOD.replace("AAEC", "AAE*"),
        GOOD.replace("AAEC", "AAECAA"),
        GOOD.replace("0a1b2c3d.", "0a1b2c3d"),
        GOOD.replace("0a1b2c3d.", "0A1B2C3D."),
        GOOD + "&seal=0a1b2c3d.AAAA",
        "https://[::1/x?seal=1",
    ],
)
def test_damaged_dsn_is_refused_without_its_secrets(text):
    with pytest.raises(Invalid) as refused:
        parse_dsn(text)
    assert "0123456789" not in str(refused.value)
    assert "AAEC" not in str(refused.value)
