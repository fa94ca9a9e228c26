"""`manage.py iii`: the program `iii` under Django's name."""

from __future__ import annotations

from django.core.management.base import BaseCommand

from engine.management.program import become_iii


class Command(BaseCommand):
    """Runs one command of `iii`; starts the engine without one."""

    help = "The program `iii`: check, trigger, migrate …; starts the engine without a command."

    def run_from_argv(self, argv: list[str]) -> None:
        """Hand the whole command line on, `--help` and Django's own options included."""
        become_iii(argv[2:])
