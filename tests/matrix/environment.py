# SPDX-License-Identifier: AGPL-3.0-only
"""The isolated environment of a cell, made by uv and kept until its packages change."""

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

from tests.matrix.cells import REPOSITORY, Cell

CACHE = REPOSITORY / ".matrix"
HARNESS = ("pytest>=8.4", "pytest-timeout>=2.4", "pytest-rerunfailures>=15", "psutil>=7")
"""What the suite itself needs, beside the agent and its client of Redis."""


class NotRun(Exception):
    """The machine lacks something that the cell asks for; the text says what."""


def make(cell: Cell) -> Path:
    """Its Python. Raises `NotRun` where there is no interpreter of that version."""
    folder = CACHE / cell.name
    stamp = folder / "made-of"
    wanted = _made_of(cell)
    python = folder / "bin" / "python"
    if stamp.exists() and stamp.read_text() == wanted and python.exists():
        return python
    _find_interpreter(cell.python)
    shutil.rmtree(folder, ignore_errors=True)
    _uv("venv", "--quiet", "--no-project", "--python", cell.python, str(folder))
    agent = ["--editable", str(REPOSITORY / "agent")]
    packages = [*HARNESS, *cell.packages]
    _uv("pip", "install", "--quiet", "--python", str(python), *agent, *packages)
    stamp.write_text(wanted)
    return python


def _made_of(cell: Cell) -> str:
    needs = (REPOSITORY / "agent/pyproject.toml").read_bytes()
    agent = hashlib.sha256(needs).hexdigest()
    return json.dumps([cell.python, *HARNESS, *cell.packages, agent])


def _find_interpreter(version: str) -> None:
    try:
        _uv("python", "find", "--no-project", "--system", version, quiet=True)
    except subprocess.CalledProcessError:
        raise NotRun(f"there is no Python {version} on this machine") from None


def _uv(*words: str, quiet: bool = False) -> None:
    """uv must not fetch an interpreter: a matrix says what this machine can show."""
    program = shutil.which("uv") or str(REPOSITORY / ".tools/bin/uv")
    subprocess.run(
        [program, *words],
        check=True,
        env={**os.environ, "UV_PYTHON_DOWNLOADS": "never"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL if quiet else None,
    )
