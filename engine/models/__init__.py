"""What of the engine outlives a restart, for people and for the next start."""

from engine.models.nodes import NODE_LEASE, EngineNode, live_nodes
from engine.models.queues import (
    Delivery,
    IdempotencyKey,
    OutboxMessage,
    Queue,
    QueueSubscription,
)
from engine.models.schedules import Schedule, ScheduleOwner, Tick
from engine.models.triggers import Trigger

__all__ = [
    "NODE_LEASE",
    "Delivery",
    "EngineNode",
    "IdempotencyKey",
    "OutboxMessage",
    "Queue",
    "QueueSubscription",
    "Schedule",
    "ScheduleOwner",
    "Tick",
    "Trigger",
    "live_nodes",
]
