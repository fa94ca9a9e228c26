"""The Django app `console`."""

from __future__ import annotations

from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    """The console: the Django admin of the engine."""

    name = "console"
    verbose_name = "Console"
