# SPDX-License-Identifier: AGPL-3.0-only
"""The oldest and the newest versions of the frameworks, each in an environment of its own."""

import json
import shutil
from pathlib import Path

import pytest
from tests.support.e2e_wheels import REPOSITORY, call, find_python

pytestmark = [pytest.mark.packaging, pytest.mark.timeout(400)]

APP = Path(__file__).parent / "versions_app.py"
OLDEST = ("django==4.2.*", "flask==2.3.*", "werkzeug<3", "fastapi==0.100.*", "httpx<0.28")
NEWEST = ("django", "flask", "fastapi", "httpx<0.29")
EXPECTED = {
    "django wsgi sync": "POST /sync/<int:number>/",
    "django asgi sync": "POST /sync/<int:number>/",
    "django wsgi async": "POST /async/<int:number>/",
    "django asgi async": "POST /async/<int:number>/",
    "flask plain": "POST /plain/<int:number>",
    "flask streamed": "POST /streamed/<int:number>",
    "fastapi /v1/orders/sync": "POST /v1/orders/sync/{number}",
    "fastapi /v1/orders/async": "POST /v1/orders/async/{number}",
    "fastapi /old/orders/async": "POST /old/orders/async/{number}",
}


@pytest.mark.parametrize(
    ("version", "packages"), [("3.10", OLDEST), ("3.13", NEWEST)], ids=["oldest", "newest"]
)
def test_request_is_told_by_old_and_new_frameworks(tmp_path, version, packages):
    python = find_python(version)
    if python is None:
        pytest.skip(f"no Python {version} on this machine: not run")
    uv = shutil.which("uv") or str(REPOSITORY / ".tools/bin/uv")
    own = tmp_path / "venv/bin/python"
    call([uv, "venv", "--quiet", "--no-project", "--python", python, tmp_path / "venv"])
    call([uv, "pip", "install", "--quiet", "--python", own, REPOSITORY / "agent", *packages])
    found = json.loads(call([own, APP]).splitlines()[-1])
    assert found.pop("failures") == {}
    assert found.pop("after") == ["", ""]
    assert found == {place: [route, "ann-7"] for place, route in EXPECTED.items()}
