# SPDX-License-Identifier: AGPL-3.0-only
"""CSS, scripts and pictures, read into memory once and named by the hash of all of them.

One hash for the whole folder keeps relative imports of scripts inside it, so that every file can
be cached for ever.
"""

import gzip
import hashlib
import re
from functools import cache
from pathlib import Path

import msgspec

from queuedeck import paths

_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_GZIP_FROM = 512
"""Bytes below which compression does not pay."""
_IMPORT = re.compile(rb'^@import "([a-z]+\.css)";\n', re.MULTILINE)
_UNSENT = re.compile(rb"^\s*(?://|/\*\*).*\n|^[ \t]+|^\n", re.MULTILINE)
"""Comment lines and indentation of our own scripts: for readers of the source."""


class Asset(msgspec.Struct, frozen=True):
    body: bytes
    zipped: bytes
    """Empty for small files."""
    media_type: str


class Assets:
    """All files of the static folder."""

    def __init__(self, folder: Path) -> None:
        self.files = {
            path.relative_to(folder).as_posix(): _read(path)
            for path in sorted(folder.rglob("*"))
            if path.suffix in _TYPES
        }
        digest = hashlib.sha256()
        for name, asset in self.files.items():
            digest.update(f"{name}\0{len(asset.body)}\0".encode() + asset.body)
        self.version = digest.hexdigest()[:12]


@cache
def assets() -> Assets:
    return Assets(paths.STATIC)


def static_url(name: str) -> str:
    """The address of one file. Raises `KeyError` for a file that does not exist."""
    found = assets()
    if name not in found.files:
        raise KeyError(f"static/{name} does not exist")
    return f"/static/{found.version}/{name}"


def _read(path: Path) -> Asset:
    body = path.read_bytes()
    if path.suffix == ".css":
        # One stylesheet is one request: imports are joined, in their order.
        body = _IMPORT.sub(lambda match: (path.parent / match[1].decode()).read_bytes(), body)
    if path.suffix == ".js" and path.parent.name == "js":
        body = _UNSENT.sub(b"", body)
    zipped = gzip.compress(body, 9, mtime=0) if len(body) >= _GZIP_FROM else b""
    return Asset(body, zipped, _TYPES[path.suffix])
