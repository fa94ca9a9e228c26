"""How often somebody has tried to log in without success, so that nobody guesses passwords."""

from __future__ import annotations

import hashlib
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Final

MAX_FAILURES: Final = 10
WINDOW_S: Final = 15 * 60
"""So many failures of one account from one address are forgiven in this time."""

MAX_KEPT: Final = 10_000
"""Pairs of account and address. To push one out, a guesser needs as many failures, each of which
costs the hashing of a password."""


@dataclass(slots=True)
class _Attempts:
    count: int
    end: float


class FailedLogins:
    """Counts failures by account and address, in the memory of this process.

    Safe for several threads. An attempt is counted before its password is checked, so that
    attempts at the same time do not slip through.

    Args:
        clock: gives seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[bytes, _Attempts] = OrderedDict()  # in the order of their ends

    def begin(self, account: str, address: str) -> int:
        """Count an attempt; return how many seconds it is too early for it, 0 if it may go on."""
        key = _key(account, address)
        with self._lock:
            now = self._clock()
            attempts = self._kept.get(key)
            if attempts is None or attempts.end <= now:
                attempts = self._start(key, now)
            if attempts.count == MAX_FAILURES:
                return math.ceil(attempts.end - now)
            attempts.count += 1
            return 0

    def succeed(self, account: str, address: str) -> None:
        """Forget the failures of who has logged in."""
        with self._lock:
            self._kept.pop(_key(account, address), None)

    def _start(self, key: bytes, now: float) -> _Attempts:
        attempts = self._kept[key] = _Attempts(count=0, end=now + WINDOW_S)
        self._kept.move_to_end(key)
        if len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
        return attempts


def _key(account: str, address: str) -> bytes:
    """Return something short: what is typed into a form may have megabytes."""
    return hashlib.sha256(f"{_origin(address)}\0{account}".encode(errors="replace")).digest()


def _origin(address: str) -> str:
    """Return what stands for everybody at an address; one person may have all of an IPv6 /64."""
    try:
        parsed = IPv6Address(address)
    except ValueError:
        return address
    return str(parsed.ipv4_mapped or int(parsed) >> 64)
