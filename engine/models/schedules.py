"""Schedules: when which function is called, and what has become of each time it was due."""

from __future__ import annotations

import datetime as dt
from typing import ClassVar

from django.db import models


class Schedule(models.Model):
    """A function that is called at the times a cron expression names.

    A worker's comes with its triggers: those that say the same are replicas of one schedule. It
    outlives them, so that what was due while no worker was there is known. A person's is made in
    the console and belongs to no worker.
    """

    class Origin(models.TextChoices):
        """Who made it."""

        WORKER = "worker", "a worker"
        PERSON = "person", "a person"

    class Overlap(models.TextChoices):
        """What happens when it is due while it runs."""

        SKIP = "skip", "skip the later run"
        ALLOW = "allow", "run both"

    class Misfire(models.TextChoices):
        """What happens to a time at which it could not run."""

        SKIP = "skip", "miss it"
        ONCE = "once", "run once, as soon as possible"

    schedule_id = models.TextField(
        "id", unique=True, help_text="given, or made from what it calls and when"
    )
    origin = models.CharField(max_length=6, choices=Origin)
    function_id = models.TextField("function")
    namespace = models.TextField(blank=True, help_text="of the function; empty: the default one")
    expression = models.TextField(help_text="as it was written")
    timezone = models.TextField(default="UTC", help_text="IANA name")
    condition_function_id = models.TextField(
        "condition", blank=True, help_text="asked first; only `false` or an error skips the run"
    )
    payload = models.TextField(
        blank=True, help_text="JSON text; empty: the times of the run, as workers get them"
    )
    overlap = models.CharField(max_length=5, choices=Overlap, default=Overlap.SKIP)
    misfire = models.CharField(max_length=4, choices=Misfire, default=Misfire.SKIP)
    jitter_ms = models.BigIntegerField(
        "jitter", default=0, help_text="each run starts up to so many milliseconds later"
    )
    timeout_ms = models.BigIntegerField(
        "timeout", default=0, help_text="a run without an answer has failed then; 0: never"
    )
    repeat_interrupted = models.BooleanField(
        default=False, help_text="call again what was under way when an engine died"
    )
    is_enabled = models.BooleanField(default=True, help_text="as its owner says")
    is_paused = models.BooleanField(default=False, help_text="by people, until they resume it")
    skip_until = models.BigIntegerField(
        null=True, blank=True, help_text="times up to this one are skipped; Unix milliseconds"
    )
    next_at = models.BigIntegerField(
        null=True, blank=True, help_text="first time without a tick; empty: never again"
    )
    due_at = models.BigIntegerField(
        null=True, blank=True, help_text="`next_at` and its jitter; empty: never again"
    )
    planned = models.BigIntegerField(default=0, help_text="ticks so far, deleted ones included")
    pruned = models.BigIntegerField(default=0, help_text="ticks deleted so far")
    created_at = models.BigIntegerField(help_text="Unix milliseconds")
    detached_at = models.BigIntegerField(
        null=True, blank=True, help_text="since when no worker has it; empty while one does"
    )
    ended_at = models.BigIntegerField(
        null=True, blank=True, help_text="when its last trigger was unregistered"
    )

    class Meta:
        permissions: ClassVar = [
            ("run_schedule", "Can run schedules now"),
            ("pause_schedule", "Can pause, resume and skip schedules"),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(
                fields=["due_at"],
                name="schedule_due",
                condition=models.Q(due_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.schedule_id


class ScheduleOwner(models.Model):
    """An engine that has live triggers of a worker's schedule: it may run its ticks."""

    schedule = models.ForeignKey(Schedule, models.CASCADE, related_name="owners", db_index=False)
    node = models.UUIDField(db_index=True)

    class Meta:
        verbose_name = "schedule owner"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["schedule", "node"], name="schedule_owner"),
        ]

    def __str__(self) -> str:
        return f"{self.schedule} on {self.node}"


class Tick(models.Model):
    """A time at which a schedule was due, and what has become of it; at most one row for a time.

    Planned ahead of its time, claimed by one engine with a commit before its call, ended once.
    The store deletes ticks before their schedule.
    """

    class State(models.IntegerChoices):
        """Where it is on its way; all from DONE on are final."""

        DUE = 0, "due"
        CLAIMED = 1, "running"
        DONE = 2, "done"
        FAILED = 3, "failed"
        SKIPPED = 4, "skipped"
        MISSED = 5, "missed"
        INTERRUPTED = 6, "interrupted"

    class Reason(models.TextChoices):
        """Why it was skipped or missed."""

        OVERLAP = "overlap", "the run before it had not ended"
        CONDITION = "condition", "the condition said false"
        CONDITION_FAILED = "condition_failed", "the condition failed"
        DISABLED = "disabled", "its owner has disabled the schedule"
        PAUSED = "paused", "the schedule was paused"
        SKIP_NEXT = "skip_next", "it was to be skipped"
        NO_WORKER = "no_worker", "no worker had its function"
        NOT_RUNNING = "not_running", "nothing that plans schedules ran"
        LATE = "late", "nothing executed it in time"
        SUPERSEDED = "superseded", "a later one runs in its place"

    schedule = models.ForeignKey(
        Schedule, models.DO_NOTHING, related_name="ticks", db_index=False, db_constraint=False
    )
    scheduled_at = models.BigIntegerField(help_text="Unix milliseconds")
    run_at = models.BigIntegerField(help_text="`scheduled_at` and its jitter")
    give_up_at = models.BigIntegerField(
        null=True, blank=True, help_text="missed if it has not begun by then; empty: it waits"
    )
    state = models.SmallIntegerField(choices=State, default=State.DUE)
    reason = models.CharField(max_length=16, choices=Reason, blank=True)
    error = models.TextField(blank=True, help_text="of the function, or more about the reason")
    is_manual = models.BooleanField(default=False, help_text="asked for by people")
    payload = models.TextField(blank=True, help_text="instead of the schedule's, JSON text")
    stands_for = models.BigIntegerField(
        default=1, help_text="times that this row tells of, the last of which is its own"
    )
    attempts = models.IntegerField(default=0, help_text="how often it was claimed")
    holder = models.UUIDField(null=True, blank=True, help_text="the engine that claimed it last")
    trigger_id = models.TextField(blank=True, help_text="whose job it was")
    trace_id = models.TextField(blank=True, help_text="of its call, 32 hexadecimal digits")
    started_at = models.BigIntegerField(null=True, blank=True, help_text="when it was called")
    finished_at = models.BigIntegerField(null=True, blank=True, help_text="Unix milliseconds")

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["schedule", "scheduled_at"], name="tick_time"),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["run_at"], name="tick_due", condition=models.Q(state=0)),
            # What is not over of a schedule: due, running.
            models.Index(fields=["schedule"], name="tick_open", condition=models.Q(state__lt=2)),
            models.Index(
                fields=["state", "id"], name="tick_other", condition=models.Q(state__gt=2)
            ),
            models.Index(fields=["scheduled_at"], name="tick_failed", condition=models.Q(state=3)),
        ]

    def __str__(self) -> str:
        at = dt.datetime.fromtimestamp(self.scheduled_at / 1000, dt.UTC)
        return f"{at:%Y-%m-%d %H:%M:%S} UTC"
