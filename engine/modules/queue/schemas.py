"""What listings say about the functions of the queue module, and how they fail."""

from __future__ import annotations

from typing import Any, Final

ENQUEUE_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["topic", "data"],
    "properties": {
        "topic": {"type": "string", "minLength": 1},
        "data": {"description": "what every function that subscribes to the topic gets"},
        "message_group": {
            "type": "string",
            "description": "where messages are delivered in order: among those of its group",
        },
        "delay_ms": {"type": "integer", "minimum": 0, "description": "not before so long"},
        "run_at": {
            "type": ["integer", "string"],
            "description": "not before this time: Unix milliseconds or RFC 3339",
        },
        "idempotency_key": {
            "type": "string",
            "description": "a second message of the topic and key within 24 hours is the first",
        },
        "ttl_ms": {"type": "integer", "minimum": 1, "description": "not after so long"},
        "with_receipt": {
            "type": "boolean",
            "description": "answer {message_id, duplicate} instead of nothing",
        },
    },
}

DESCRIPTIONS: Final = {
    "enqueue": "Keep a message for every function that subscribes to its topic",
    "list": "Answer every queue with its figures",
    "list_topics": "Answer the topics and named queues that there are",
    "topic_stats": "Answer the figures of a topic or named queue",
    "dlq_topics": "Answer the topics and named queues with dead letters",
    "dlq_messages": "Answer a page of the dead letters of a topic or named queue",
    "redrive": "Deliver dead letters anew, all of a queue or chosen ones",
    "redrive_message": "Deliver one dead letter anew, perhaps with other data",
    "discard": "Delete dead letters, all of a queue or chosen ones",
    "discard_message": "Delete one dead letter",
    "pause": "Deliver nothing of a queue until it is resumed",
    "resume": "Deliver a paused queue again",
}
"""By the last part of the canonical id."""

FAILURE_CODES: Final = {
    "enqueue": "enqueue_error",
    "list": "list_failed",
    **{name: f"{name}_failed" for name in DESCRIPTIONS if name not in {"enqueue", "list"}},
}
"""Likewise: the codes of answers when the store fails."""
