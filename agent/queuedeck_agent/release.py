# SPDX-License-Identifier: Apache-2.0
"""Which version of the application's code runs here, where nobody said so: what the platform put
into the environment, else the commit that is checked out. Files are read, nothing is run."""

import contextlib
import re
from collections.abc import Mapping
from pathlib import Path

VARIABLES = (
    "SENTRY_RELEASE",
    "DD_VERSION",
    "HEROKU_SLUG_COMMIT",
    "SOURCE_VERSION",
    "SOURCE_COMMIT",
    "RENDER_GIT_COMMIT",
    "RAILWAY_GIT_COMMIT_SHA",
    "K_REVISION",
    "CODEBUILD_RESOLVED_SOURCE_VERSION",
    "CI_COMMIT_SHA",
    "GITHUB_SHA",
    "GIT_COMMIT",
    "GIT_SHA",
    "COMMIT_SHA",
)
"""In the order in which they are asked; the first that says something is the release."""
SHORT = 12
MOST_PARENTS = 5
MAX_BYTES = 1 << 20
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def found(env: Mapping[str, str], folder: Path) -> str:
    """A release, or nothing. Commits are shortened to 12 digits."""
    for name in VARIABLES:
        said = env.get(name, "").strip()
        if said and said.isprintable():
            return said[:SHORT] if _COMMIT.fullmatch(said) else said[:100]
    with contextlib.suppress(OSError, ValueError):
        return _checked_out(folder)[:SHORT]
    return ""


def _checked_out(folder: Path) -> str:
    folder = folder.resolve()
    for place in (folder, *folder.parents[:MOST_PARENTS]):
        git = place / ".git"
        if git.is_file():  # of a linked worktree, or a submodule
            git = place / git.read_text("utf-8").removeprefix("gitdir:").strip()
        if git.is_dir():
            return _commit_of(git)
    return ""


def _commit_of(git: Path) -> str:
    head = _read(git / "HEAD")
    if not head.startswith("ref:"):
        return head if _COMMIT.fullmatch(head) else ""
    name = head.removeprefix("ref:").strip()
    shared = git
    if common := _read(git / "commondir"):
        shared = git / common
    for place in (git, shared):
        commit = _read(place / name)
        if _COMMIT.fullmatch(commit):
            return commit
    for line in _read(shared / "packed-refs").splitlines():
        commit, _, ref = line.partition(" ")
        if ref == name and _COMMIT.fullmatch(commit):
            return commit
    return ""


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES).decode("utf-8", "replace").strip()
    except OSError:
        return ""
