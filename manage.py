#!/usr/bin/env python
"""Django's command line for this project; `manage.py runengine` starts the engine."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run one management command."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "iiiproject.settings")
    if sys.argv[1:2] in (["runengine"], ["iii"]):
        # Their own options, `--data-dir` among them, come before the settings that depend on them.
        from iiiproject import cli

        sys.exit(cli.main(sys.argv[2:], prog=f"manage.py {sys.argv[1]}"))
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
