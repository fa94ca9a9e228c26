"""What the function of a schedule is called with, built without a JSON encoder."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from engine.core.protocol import encode
from engine.modules.cron.times import CACHED_SECONDS, second_text, utc_text

NS: Final = 1_000_000_000


def payload_head(job_id: str) -> bytes:
    """Return the beginning of the payload of all runs of a job, up to the times."""
    return b'{"trigger":"cron","job_id":%b,"scheduled_time":"' % encode(job_id)


def run_payload(head: bytes, scheduled_at: int, now_ns: int, *, is_manual: bool = False) -> bytes:
    """Return the payload of a run: `{trigger, job_id, scheduled_time, actual_time}`.

    Args:
        head: of `payload_head`.
        scheduled_at: when it was due, Unix milliseconds.
        now_ns: the present, Unix nanoseconds.
        is_manual: people asked for it: the payload says `"manual": true`, too.
    """
    second, fraction = divmod(now_ns, NS)
    end = b'"}' if not is_manual else b'","manual":true}'
    # One formatting: it is made for every run, and all that is due at once shares the texts.
    return b"%b%b%b.%09d+00:00%b" % (head, _scheduled(scheduled_at), _second(second), fraction, end)


@lru_cache(maxsize=CACHED_SECONDS)
def _scheduled(scheduled_at: int) -> bytes:
    return f'{utc_text(scheduled_at)}","actual_time":"'.encode()


@lru_cache(maxsize=CACHED_SECONDS)
def _second(unix_s: int) -> bytes:
    return second_text(unix_s).encode()
