"""`manage.py createsuperuser`: Django's own, in the database that holds the users."""

from __future__ import annotations

from django.contrib.auth.management.commands import createsuperuser
from django.core.management.base import CommandParser

from console.management.accounts import default_to_their_database


class Command(createsuperuser.Command):
    """Does what Django's command of this name does."""

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the same options."""
        super().add_arguments(parser)
        default_to_their_database(parser)
