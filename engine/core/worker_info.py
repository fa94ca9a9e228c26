"""What workers say about themselves, and what follows from it for their connections."""

from __future__ import annotations

import functools
import re
from typing import Any, Final

import msgspec

MAX_DESCRIPTION: Final = 280  # characters, as SDKs expect it to be cut

# Python SDKs before 0.24.5 close their socket (1009) on a message over 1 MiB, and the call hangs.
SMALL_FRAME_LIMIT: Final = 1024 * 1024
FRAME_LIMIT: Final = 64 * 1024 * 1024
_FIRST_LARGE_PYTHON: Final = (0, 24, 5)


class WorkerInfo(msgspec.Struct, frozen=True):
    """What a worker reports in `engine::workers::register`; every member may be missing."""

    runtime: str | None = None
    version: str | None = None
    name: str | None = None
    os: str | None = None
    pid: int | None = None
    isolation: str | None = None
    description: str | None = None
    namespace: str | None = None
    telemetry: Any = None

    @property
    def version_key(self) -> tuple[int, ...]:
        """The SDK version as numbers, `()` if it says none."""
        return parse_version(self.version)

    @property
    def frame_limit(self) -> int:
        """The largest message in bytes that this SDK reads."""
        version = self.version_key
        if self.runtime == "python" and version and version < _FIRST_LARGE_PYTHON:
            return SMALL_FRAME_LIMIT
        return FRAME_LIMIT

    @property
    def reads_strictly(self) -> bool:
        """Whether it drops frames with extreme numbers or nesting instead of answering."""
        return self.runtime == "rust"

    def is_older_than(self, *version: int) -> bool:
        """Tell whether the SDK says a version below this one; unknown versions are not older."""
        own = self.version_key
        return bool(own) and own < version


@functools.lru_cache(maxsize=256)  # a fleet says few different ones
def parse_version(text: str | None) -> tuple[int, ...]:
    """Return the leading numbers of a version: `0.11.6.dev3` is (0, 11, 6)."""
    match = re.match(r"\d+(?:\.\d+){0,3}", text or "")
    return tuple(int(part) for part in match.group().split(".")) if match else ()


UNKNOWN_WORKER: Final = WorkerInfo()
