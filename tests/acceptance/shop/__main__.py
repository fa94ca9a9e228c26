"""The project's process: does what a line on stdin says, and prints the line when it is done.

`<what> <number>` makes an order and enqueues its message in one transaction, which then

- `commit` commits,
- `rollback` does not,
- `savepoint` commits, but what was done after a savepoint was rolled back: the order `-number`,
- `vanish` does not, because the process dies in it,
- `die` commits, whereupon the process dies at once, before anybody can be told.

Run with the directory of the engine's data, which DATABASE_URL in the environment makes idle, and
the topic of the messages.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import django
from django.conf import settings

from iiiproject import environment


def main(data_dir: str, topic: str) -> None:
    """Handle lines until stdin ends."""
    database = environment.databases(os.environ, Path(data_dir))["default"]
    settings.configure(
        DATABASES={"default": database},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        INSTALLED_APPS=["engine", "tests.acceptance.shop"],
        USE_TZ=True,
    )
    django.setup()
    _make_table()
    print("ready", flush=True)
    for line in sys.stdin:
        what, number = line.split()
        _handle(topic, what, int(number))
        print(line, end="", flush=True)


def _make_table() -> None:
    from django.db import connection

    from tests.acceptance.shop.models import Order

    if Order._meta.db_table not in connection.introspection.table_names():
        with connection.schema_editor() as editor:
            editor.create_model(Order)


def _handle(topic: str, what: str, number: int) -> None:
    from django.db import transaction

    from engine.queues import enqueue
    from tests.acceptance.shop.models import Order

    def order(number: int) -> None:
        Order(number=number).save()
        enqueue(topic, {"number": number})

    with transaction.atomic():
        if what == "die":
            transaction.on_commit(lambda: os._exit(1))
        order(number)
        if what == "savepoint":
            with transaction.atomic():
                order(-number)
                transaction.set_rollback(True)
        elif what == "rollback":
            transaction.set_rollback(True)
        elif what == "vanish":
            os._exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
