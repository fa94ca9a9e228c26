"""The row by which other engines know that one runs, for tests without the lease that keeps it."""

from __future__ import annotations

from django.db.models.functions import Now

from engine.models import NODE_LEASE, EngineNode
from kv.stores.database import Database


async def write_node(database: Database, *, age_s: float = 0.0) -> None:
    """Let the engine of a database count as last seen some seconds ago: live, or gone."""
    nodes = EngineNode.objects.using(database.writer.alias)
    seen_at = Now() - NODE_LEASE * age_s / NODE_LEASE.total_seconds()
    told = {"hostname": "h", "pid": 1, "version": "1", "seen_at": seen_at}
    await database.writer.run(
        lambda _: nodes.update_or_create(
            id=database.node_id, defaults=told, create_defaults={**told, "started_at": seen_at}
        )
    )


async def delete_node(database: Database) -> None:
    """Let the engine of a database count as gone."""
    nodes = EngineNode.objects.using(database.writer.alias)
    await database.writer.run(lambda _: nodes.filter(id=database.node_id).delete())
