"""What queues cost that have nothing to do."""

from __future__ import annotations

from time import monotonic
from typing import Final

from django.db import connections

from engine.modules.queue.module import QueueModule
from kv.stores.connection import StoreConnection
from kv.stores.database import Database
from tests.integration.engine.modules.queue.support import QueueWorker
from tests.store_engine import running_setting
from tests.waiting import eventually

QUEUES: Final = 100
STATEMENTS: Final = 8
WATCHED_S: Final = 5.0
STATEMENTS_PER_S: Final = 2


async def test_idle_queues_ask_sqlite_less_than_twice_a_second(sqlite_alias: str) -> None:
    statements: list[str] = []

    def trace(_: StoreConnection) -> None:
        connections[sqlite_alias].connection.set_trace_callback(statements.append)

    async with running_setting(("sqlite", sqlite_alias), (QueueModule, {})) as setting:
        worker = QueueWorker(setting.engine)
        names = {f"topic{number}" for number in range(QUEUES)}
        for name in names:
            worker.subscribe(name, f"handle {name}")

        async def are_subscribed() -> bool:
            topics = await worker.result("engine::queue::list_topics", {})
            subscribed = {each["name"] for each in topics if each["subscriber_count"] == 1}
            return len(subscribed & names) == QUEUES

        await eventually(are_subscribed)
        await worker.enqueue("topic0", "the last one")
        await worker.handle("the last one")
        await worker.until("topic0", depth=0)

        await setting.engine.service(Database).writer.run(trace)
        statements.clear()
        began = monotonic()

        async def is_enough() -> bool:
            return len(statements) >= STATEMENTS or monotonic() - began >= WATCHED_S

        await eventually(is_enough)
        assert len(statements) / (monotonic() - began) < STATEMENTS_PER_S, statements
