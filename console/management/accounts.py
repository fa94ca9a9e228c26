"""What both commands have in common."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.core.management.base import CommandParser
from django.db import router


def default_to_their_database(parser: CommandParser) -> None:
    """Make `--database` mean where users are kept; Django's own default asks no router."""
    parser.set_defaults(database=router.db_for_write(User))
