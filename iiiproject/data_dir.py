"""The data directory: made, tried and locked before anything else touches it."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from engine.core.errors import StartError

LOCK_FILE: Final = "engine.lock"
"""Held by the running engine and holding its process id. It stays behind when the engine ends:
only the lock on it counts."""


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold a data directory for this process alone.

    Raises:
        StartError: it cannot be made or written, or another engine holds it.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise _unusable(directory, error) from error
    try:
        _lock(descriptor, directory)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, directory: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
        raise StartError(
            f"another engine (process {holder}) uses the data directory {directory}: "
            "stop it, or give this one a directory of its own with --data-dir"
        ) from error
    except OSError as error:
        raise _unusable(directory, error) from error


def _unusable(directory: Path, error: OSError) -> StartError:
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        reason = f"is not writable for user {os.geteuid()}"
    else:
        reason = f"cannot be used ({error.strerror})"
    return StartError(
        f"the data directory {directory} {reason}: "
        "name another with --data-dir or III_DATA_DIR, or change its owner"
    )
