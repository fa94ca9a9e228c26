"""`manage.py runengine`: the program `iii` under Django's name."""

from __future__ import annotations

from django.core.management.base import BaseCommand

from engine.management.program import become_iii


class Command(BaseCommand):
    """Starts the engine; takes the options and commands of `iii`."""

    help = "Starts the engine: the same program as `iii`."

    def run_from_argv(self, argv: list[str]) -> None:
        """Hand the whole command line on, `--help` and Django's own options included."""
        become_iii(argv[2:])
