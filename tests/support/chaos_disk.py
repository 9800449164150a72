# SPDX-License-Identifier: AGPL-3.0-only
"""Small disks of a test's own: a tmpfs that fills, an image that loses its power."""

import contextlib
import os
import shutil
import subprocess

import pytest

MOUNT_S = 30


@contextlib.contextmanager
def small_disk(place, megabytes):
    """A tmpfs at this place; skips where mounting is not permitted."""
    place.mkdir()
    _mount(["-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", place])
    try:
        yield place
    finally:
        _run("umount", "-l", place)


def fill(place):
    """A file that takes all the room there is; remove it to have it back."""
    ballast = place / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass
    assert shutil.disk_usage(place).free == 0
    return ballast


class Image:
    """An ext4 in a file, mounted; what the file holds is what the disk has got."""

    def __init__(self, folder, place, megabytes=256):
        self.file, self.place = folder / "disk.img", place
        self._copy, self._cut = folder / "cut.img", folder / "cut"
        self._megabytes = megabytes

    def __enter__(self):
        if shutil.which("mkfs.ext4") is None:
            pytest.skip("A power cut needs mkfs.ext4 (e2fsprogs).")
        with self.file.open("wb") as file:
            file.truncate(self._megabytes << 20)
        _run("mkfs.ext4", "-q", self.file)
        self.place.mkdir()
        self._cut.mkdir()
        _mount(["-o", "loop", self.file, self.place])
        return self

    def __exit__(self, *_):
        _run("umount", "-l", self.place)

    @contextlib.contextmanager
    def without_power(self):
        """What is left of the disk when the power goes now: a copy, its journal replayed."""
        _run("cp", "--sparse=always", self.file, self._copy)
        _mount(["-o", "loop", self._copy, self._cut])
        try:
            yield self._cut
        finally:
            _run("umount", "-l", self._cut)
            self._copy.unlink()


def _mount(arguments):
    if os.geteuid() != 0:
        pytest.skip("Mounting a disk of its own needs root.")
    done = subprocess.run(
        ["mount", *map(str, arguments)], capture_output=True, text=True, timeout=MOUNT_S
    )
    if done.returncode:
        pytest.skip(f"This machine does not mount a disk for the test: {done.stderr.strip()}")


def _run(*command):
    subprocess.run([str(word) for word in command], check=True, timeout=MOUNT_S)
