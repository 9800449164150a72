# SPDX-License-Identifier: AGPL-3.0-only
"""Settings: what is accepted, and that what is not is said without the secrets."""

import base64

import pytest

from queuedeck_agent import config, dsn
from queuedeck_agent.errors import ConfigError

KEY = base64.urlsafe_b64encode(b"k" * 32).decode().rstrip("=")
TAIL = f"/shop?seal=0a1b2c3d.{KEY}&root={KEY}"
GOOD = "https://qd_agt_secret@queuedeck.example:7717/base" + TAIL


def test_dsn_is_read() -> None:
    read = dsn.parse(GOOD)
    assert read.server_url == "https://queuedeck.example:7717/base"
    assert read.link_url == "wss://queuedeck.example:7717/base/agent/link"
    assert (read.agent_key, read.project) == ("qd_agt_secret", "shop")
    assert (read.seal.kid, read.seal.key, read.root_key) == ("0a1b2c3d", b"k" * 32, b"k" * 32)


@pytest.mark.parametrize(
    ("text", "link"),
    [
        ("http://qd_agt_x@127.0.0.1:7717", "ws://127.0.0.1:7717/agent/link"),
        ("http://qd_agt_x@localhost", "ws://localhost/agent/link"),
        ("http://qd_agt_x@[::1]:80", "ws://[::1]:80/agent/link"),
        ("ws://qd_agt_x@127.0.0.1", "ws://127.0.0.1/agent/link"),
        ("wss://qd_agt_x@far.example", "wss://far.example/agent/link"),
    ],
)
def test_schemes_and_hosts_are_mapped(text: str, link: str) -> None:
    assert dsn.parse(text + TAIL).link_url == link


def test_plain_http_off_loopback_needs_to_be_asked_for() -> None:
    text = "http://qd_agt_x@queuedeck:7717" + TAIL
    with pytest.raises(ConfigError, match="insecure=1"):
        dsn.parse(text)
    assert dsn.parse(text + "&insecure=1").insecure
    assert not dsn.parse(GOOD + "&insecure=1").insecure


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "begin with https"),
        ("redis://qd_agt_x@host" + TAIL, "begin with https"),
        ("https://qd_agt_x@host/" + TAIL[5:], "project is missing"),
        ("https://host" + TAIL, "agent key"),
        ("https://qd_agt_x@host:99999" + TAIL, "port"),
        ("https://qd_agt_x@" + TAIL, "address is missing"),
        (f"https://qd_agt_x@host/shop?seal=xyz.{KEY}&root={KEY}", "eight hex"),
        (f"https://qd_agt_x@host/shop?seal=0a1b2c3d.{KEY[:-4]}&root={KEY}", "seal= is missing"),
        (f"https://qd_agt_x@host/shop?seal=0a1b2c3d.{KEY}", "root= is missing"),
        ("https://[qd_agt_x@host" + TAIL, "not a URL"),
    ],
)
def test_bad_dsn_is_explained_without_its_secrets(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        dsn.parse(text)
    assert KEY not in str(caught.value)
    assert "qd_agt_x" not in str(caught.value)


def test_repr_holds_no_secret() -> None:
    read = config.from_env({"QUEUEDECK_DSN": GOOD})
    assert "secret" not in repr(read)
    assert "kkkk" not in repr(read)


def test_defaults_are_the_documented_ones() -> None:
    read = config.from_env({"QUEUEDECK_DSN": GOOD})
    assert read.allow == ("observe", "retry", "cancel", "pause")
    assert (read.allow_tasks, read.command_rate) == (("*",), 600)
    assert read.spool_max_bytes == 256 << 20
    assert read.warnings == ()


def test_previous_dsns_only_give_their_sealing_keys() -> None:
    other = GOOD.replace("0a1b2c3d", "ffffffff")
    read = config.from_env({"QUEUEDECK_DSN": GOOD, "QUEUEDECK_DSN_PREVIOUS": f"{other} nonsense"})
    assert [key.kid for key in read.seal_keys] == ["0a1b2c3d", "ffffffff"]
    assert "entry 2" in read.warnings[0]


def test_read_only_allows_nothing_but_watching() -> None:
    env = {"QUEUEDECK_DSN": GOOD, "QUEUEDECK_READ_ONLY": "1", "QUEUEDECK_ALLOW": "retry"}
    assert config.from_env(env).allow == ("observe",)


def test_unknown_verbs_and_numbers_are_warned_about() -> None:
    env = {
        "QUEUEDECK_DSN": GOOD,
        "QUEUEDECK_ALLOW": "retry, explode",
        "QUEUEDECK_SPOOL_MAX_BYTES": "lots",
        "QUEUEDECK_ALLOW_TASKS": "shop.*, mail.*",
    }
    read = config.from_env(env)
    assert read.allow == ("retry",)
    assert read.allow_tasks == ("shop.*", "mail.*")
    assert read.spool_max_bytes == config.DEFAULT_SPOOL_BYTES
    assert len(read.warnings) == 2


def test_spool_survives_key_rotation_and_separates_projects() -> None:
    rotated = dsn.parse(GOOD.replace("secret", "renewed"))
    other = dsn.parse(GOOD.replace("/shop", "/mail"))
    assert dsn.parse(GOOD).spool_name == rotated.spool_name != other.spool_name
