# SPDX-License-Identifier: AGPL-3.0-only
"""Building both wheels, and fresh environments to install them into."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Wheels:
    server: Path
    agent: Path


def build_wheels(folder):
    """Source distribution first, then the wheel from it, as a release does."""
    uv = shutil.which("uv") or str(REPOSITORY / ".tools/bin/uv")
    for source in (REPOSITORY, REPOSITORY / "agent"):
        call([uv, "build", "--quiet", "--out-dir", folder, source])
    return Wheels(
        server=next(folder.glob("queuedeck-*.whl")),
        agent=next(folder.glob("queuedeck_agent-*.whl")),
    )


def make_environment(folder, python=sys.executable):
    """A new virtual environment; its Python."""
    call([python, "-m", "venv", folder])
    return folder / "bin/python"


def distributions(python):
    """The names of what is installed."""
    listed = call([python, "-m", "pip", "list", "--format", "json"])
    return {item["name"].lower() for item in json.loads(listed)}


def find_python(version):
    """A Python of this version that runs, or None."""
    uv = shutil.which("uv") or str(REPOSITORY / ".tools/bin/uv")
    asked = subprocess.run(
        [uv, "python", "find", "--no-python-downloads", "--system", version],
        capture_output=True,
        text=True,
    )
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    candidates = [
        *asked.stdout.split("\n")[:1],
        shutil.which(f"python{version}"),
        *(str(p / "bin/python") for p in sorted(pyenv.glob(f"{version}.*"))),
    ]
    return next((c for c in candidates if c and _runs(c, version)), None)


def call(command):
    """Run it without our own environment's variables; its output."""
    environment = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH")}
    done = subprocess.run(
        [str(part) for part in command],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _runs(python, version):
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, timeout=30)
    except OSError:
        return False
    return done.returncode == 0 and done.stdout.strip() == version
