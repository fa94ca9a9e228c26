"""What listings say about the trigger type and the functions of the cron module."""

from __future__ import annotations

from typing import Any, Final

from engine.modules.cron.settings import MAX_JITTER_MS, MAX_TIMEOUT_MS, MISFIRES, OVERLAPS

SETTINGS_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["expression"],
    "properties": {
        "expression": {
            "type": "string",
            "minLength": 1,
            "description": "seven fields: second minute hour day-of-month month day-of-week year; "
            "six without the year; or a shorthand such as @hourly",
        },
        "timezone": {"type": "string", "default": "UTC", "description": "IANA name"},
        "condition_function_id": {
            "type": "string",
            "description": "asked first, with the same payload; false: the run is skipped",
        },
        "overlap": {
            "enum": list(OVERLAPS),
            "default": OVERLAPS[0],
            "description": "what happens when it is due while it runs",
        },
        "misfire": {
            "enum": list(MISFIRES),
            "default": MISFIRES[0],
            "description": "what happens to times at which it could not run: missed, or made up "
            "for by one run",
        },
        "jitter_ms": {
            "type": "integer",
            "minimum": 0,
            "maximum": MAX_JITTER_MS,
            "default": 0,
            "description": "each run starts up to so much later",
        },
        "timeout_ms": {
            "type": "integer",
            "minimum": 0,
            "maximum": MAX_TIMEOUT_MS,
            "default": 0,
            "description": "a run without an answer has failed then; 0: never",
        },
        "schedule_id": {
            "type": "string",
            "description": "its identity; absent: made from what it calls and when",
        },
        "enabled": {"type": "boolean", "default": True, "description": "false: runs are skipped"},
        "repeat_interrupted": {
            "type": "boolean",
            "default": False,
            "description": "call again what was under way when an engine died",
        },
    },
}

PAYLOAD_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["trigger", "job_id", "scheduled_time", "actual_time"],
    "properties": {
        "trigger": {"const": "cron"},
        "job_id": {"type": "string", "description": "the id of the trigger"},
        "scheduled_time": {"type": "string", "format": "date-time"},
        "actual_time": {"type": "string", "format": "date-time"},
        "manual": {"type": "boolean", "description": "true if people asked for the run"},
    },
}

_SCHEDULE_ID: Final = {"schedule_id": {"type": "string", "minLength": 1}}
_ONE_SCHEDULE: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["schedule_id"],
    "properties": _SCHEDULE_ID,
}

DESCRIPTIONS: Final = {
    "list": "Answer a page of the schedules, each with its next time and its last run",
    "next": "Answer the next times of a schedule or of an expression, in its zone and in UTC",
    "ticks": "Answer a page of the ticks, newest first: when something was due, what became of it",
    "run_now": "Run a schedule now, paused or not",
    "pause": "Skip the runs of a schedule until it is resumed",
    "resume": "Run a paused schedule again",
    "skip_next": "Skip the next run of a schedule, or do not skip it after all",
}
"""By the last part of the id."""

REQUEST_SCHEMAS: Final[dict[str, dict[str, Any]]] = {
    "list": {
        "type": "object",
        "properties": {
            "search": {"type": "string", "description": "part of an id or of a function's"},
            "origin": {"enum": ["worker", "person"]},
            "state": {"enum": ["active", "paused", "disabled", "detached", "ended"]},
            "function_id": {"type": "string"},
            "limit": {"type": "integer", "default": 50},
            "offset": {"type": "integer", "default": 0},
        },
    },
    "next": {
        "type": "object",
        "properties": {
            **_SCHEDULE_ID,
            "expression": {"type": "string", "description": "instead of a schedule"},
            "timezone": {"type": "string", "description": "of the expression; UTC if absent"},
            "count": {"type": "integer", "minimum": 1, "maximum": 100, "default": 5},
            "after": {
                "type": ["integer", "string"],
                "description": "Unix milliseconds or RFC 3339; now if absent",
            },
        },
    },
    "ticks": {
        "type": "object",
        "properties": {
            **_SCHEDULE_ID,
            "state": {
                "enum": ["due", "running", "done", "failed", "skipped", "missed", "interrupted"]
            },
            "limit": {"type": "integer", "default": 50},
            "before_id": {
                "type": "integer",
                "description": "the last `tick_id` of the page before",
            },
        },
    },
    "run_now": {
        "type": "object",
        "required": ["schedule_id"],
        "properties": {
            **_SCHEDULE_ID,
            "payload": {"description": "instead of the schedule's"},
            "wait": {"type": "boolean", "default": False, "description": "answer when it is over"},
        },
    },
    "pause": _ONE_SCHEDULE,
    "resume": _ONE_SCHEDULE,
    "skip_next": {
        "type": "object",
        "required": ["schedule_id"],
        "properties": {
            **_SCHEDULE_ID,
            "skip": {"type": "boolean", "default": True, "description": "false: take it back"},
        },
    },
}
