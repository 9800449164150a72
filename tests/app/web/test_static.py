# SPDX-License-Identifier: AGPL-3.0-only
"""The static folder: complete, cached for ever, small."""

import base64
import gzip
import hashlib
import re

import pytest

from queuedeck import paths
from queuedeck.web.assets import assets, static_url

MAX_SCRIPTS_BYTES = 15 * 1024
"""Of our own scripts together, as sent. 11 KiB, and what the task list needs to be worked in by
hand: suggestions, the brush over the strip, the task beside the list.
"""


async def test_file_is_sent_compressed_and_for_ever(serving):
    async with serving.http() as client:
        answer = await client.get(static_url("css/app.css"))
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["content-type"].startswith("text/css")
    assert "@import" not in answer.text


async def test_path_of_another_version_is_answered_for_a_minute(serving):
    async with serving.http() as client:
        answer = await client.get("/static/000000000000/img/sprite.svg")
    assert answer.headers["cache-control"] == "public, max-age=60"


@pytest.mark.parametrize("name", ["none.css", "../pyproject.toml", "..%2Fpyproject.toml", "css"])
async def test_nothing_else_is_sent(serving, name):
    async with serving.http() as client:
        assert (await client.get(f"/static/x/{name}")).status_code == 404


def test_unknown_name_in_a_template_is_a_mistake():
    with pytest.raises(KeyError):
        static_url("css/none.css")


def test_every_stylesheet_is_joined():
    joined = assets().files["css/app.css"].body
    for path in (paths.STATIC / "css").glob("*.css"):
        assert path.name == "app.css" or path.read_bytes() in joined


def test_every_icon_that_templates_name_exists():
    sprite = (paths.STATIC / "img/sprite.svg").read_text()
    for path in paths.TEMPLATES.rglob("*.html"):
        for name in re.findall(r'icon\("([a-z]+)"', path.read_text()):
            assert f'id="{name}"' in sprite


def test_own_scripts_stay_small():
    scripts = [asset for name, asset in assets().files.items() if name.startswith("js/")]
    assert sum(len(asset.zipped or asset.body) for asset in scripts) <= MAX_SCRIPTS_BYTES


def test_vendored_scripts_are_those_of_the_note():
    note = (paths.STATIC / "vendor/README.md").read_text()
    for path in (paths.STATIC / "vendor").glob("*.js"):
        assert hashlib.sha256(path.read_bytes()).hexdigest() in note
        digest = base64.b64encode(hashlib.sha384(path.read_bytes()).digest()).decode()
        assert digest in note


def test_compressed_form_is_the_file():
    for asset in assets().files.values():
        assert not asset.zipped or gzip.decompress(asset.zipped) == asset.body


def test_no_template_uses_what_the_policy_refuses():
    for path in paths.TEMPLATES.rglob("*.html"):
        text = path.read_text()
        for forbidden in (" style=", "<style", "hx-on", "js:", " onclick", "|safe", "| safe"):
            assert forbidden not in text, path
