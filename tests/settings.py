"""Django settings of the tests: databases in files, which threads can share."""

from __future__ import annotations

import tempfile
from pathlib import Path

from iiiproject.settings import *  # noqa: F403
from iiiproject.settings import DATABASES as _DATABASES

_DIRECTORY = Path(tempfile.mkdtemp(prefix="iii-tests-"))

# The real one takes half a second for each account that a test makes.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

DATABASES = {
    alias: {**options, "TEST": {"NAME": str(_DIRECTORY / f"{alias}.sqlite3")}}
    for alias, options in _DATABASES.items()
}

# Periodic tasks that a test adds are seen soon.
CELERY_BEAT_MAX_LOOP_INTERVAL = 1
