# SPDX-License-Identifier: AGPL-3.0-only
"""The release that is found where nobody named one, compared with what git itself says."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support import spool

from queuedeck_agent import release


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@t.example", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(folder), *identity, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    git(folder, "commit", "-q", "--allow-empty", "-m", "first")
    return folder


def test_checked_out_commit_is_found_from_below(repository: Path) -> None:
    below = repository / "a" / "b"
    below.mkdir(parents=True)
    expected = git(repository, "rev-parse", "HEAD")[: release.SHORT]
    assert release.found({}, repository) == release.found({}, below) == expected


def test_detached_packed_and_linked_commits_are_found(repository: Path, tmp_path: Path) -> None:
    commit = git(repository, "rev-parse", "HEAD")[: release.SHORT]
    git(repository, "worktree", "add", "-q", "-b", "other", str(tmp_path / "linked"))
    assert release.found({}, tmp_path / "linked") == commit
    git(repository, "pack-refs", "--all")
    assert release.found({}, repository) == commit
    assert release.found({}, tmp_path / "linked") == commit
    git(repository, "checkout", "-q", "--detach")
    assert release.found({}, repository) == commit


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({"SENTRY_RELEASE": "shop@1.9.2"}, "shop@1.9.2"),
        ({"GIT_COMMIT": "ab" * 20}, "ab" * 6),
        ({"GIT_SHA": "", "K_REVISION": "shop-00017-abc"}, "shop-00017-abc"),
        ({"DD_VERSION": "x" * 500}, "x" * 100),
        ({"DD_VERSION": "1\n2", "GIT_SHA": "3"}, "3"),
    ],
    ids=str,
)
def test_what_the_platform_says_goes_first(
    env: dict[str, str], expected: str, repository: Path
) -> None:
    assert release.found(env, repository) == expected


@pytest.mark.parametrize(
    "head", ["", "ref: refs/heads/none", "not a commit", "ref: ../../../etc/passwd"]
)
def test_nothing_is_found_in_what_is_no_repository(head: str, tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_text(head)
    assert release.found({}, tmp_path) == ""


def test_odd_places_are_no_trouble(tmp_path: Path) -> None:
    (tmp_path / ".git").write_bytes(b"\xff\x00gitdir")
    assert release.found({}, tmp_path) == ""
    assert release.found({}, tmp_path / "gone") == ""


@pytest.mark.parametrize(("said", "is_found"), [("1.9", False), ("", True)])
def test_agent_takes_what_is_found_where_nobody_named_one(
    said: str, is_found: bool, repository: Path, tmp_path: Path
) -> None:
    commit = git(repository, "rev-parse", "HEAD")[: release.SHORT]
    code = "from queuedeck_agent import agent; print(agent.start().config.release)"
    known = {name: value for name, value in os.environ.items() if name not in release.VARIABLES}
    env = {**known, "QUEUEDECK_DSN": spool.dsn(), "QUEUEDECK_SPOOL": str(tmp_path / "spool")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**env, "QUEUEDECK_RELEASE": said},
        cwd=repository,
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == (commit if is_found else said)
