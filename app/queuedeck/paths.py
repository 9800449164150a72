# SPDX-License-Identifier: AGPL-3.0-only
"""Where the files that are not Python live: in the wheel, or in a checkout."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_CHECKOUT = _PACKAGE.parents[1]


def _data_dir(name: str) -> Path:
    installed = _PACKAGE / name
    return installed if installed.is_dir() else _CHECKOUT / name


TEMPLATES = _data_dir("templates")
STATIC = _data_dir("static")
ALEMBIC = _data_dir("alembic")
