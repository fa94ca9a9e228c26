"""Celery tasks of people's own: the admins of django-celery-beat in the console's look.

Schedules of the engine are not among them, see `console.admin.schedules`.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

from django.contrib import admin
from django_celery_beat.admin import (
    ClockedScheduleAdmin,
    CrontabScheduleAdmin,
    PeriodicTaskAdmin,
    PeriodicTaskForm,
    PeriodicTaskInline,
    TaskSelectWidget,
)
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)
from unfold.admin import ModelAdmin, TabularInline
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

OWN_TASKS: Final = "engine.tasks."
"""Tasks whose names begin so are the engine's parts, and nothing to be scheduled by people."""

FOR_PEOPLE: Final = frozenset({"engine.tasks.invoke"})
"""All but these."""

for _model in (PeriodicTask, IntervalSchedule, CrontabSchedule, SolarSchedule, ClockedSchedule):
    admin.site.unregister(_model)


class TaskChoice(UnfoldAdminSelectWidget, TaskSelectWidget):  # type: ignore[misc]  # no types
    """The tasks that the process knows and people may schedule."""

    def tasks_as_choices(self) -> tuple[tuple[str, str], ...]:
        """Return them by name."""
        found: tuple[tuple[str, str], ...] = super().tasks_as_choices()
        return tuple(
            each for each in found if not each[0].startswith(OWN_TASKS) or each[0] in FOR_PEOPLE
        )


class TaskForm(PeriodicTaskForm):  # type: ignore[misc]  # no types
    """A task, its times and what it gets."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["regtask"].widget = TaskChoice()
        self.fields["task"].widget = UnfoldAdminTextInputWidget()


@admin.register(PeriodicTask)
class ConsolePeriodicTaskAdmin(PeriodicTaskAdmin, ModelAdmin):  # type: ignore[misc]
    """Which task is sent when."""

    form = TaskForm
    date_hierarchy = None
    # The package's own holds a script, which the console's content policy does not let run.
    change_form_template = None


class TaskInline(PeriodicTaskInline, TabularInline):  # type: ignore[misc]
    """The tasks that have these times."""


class TimesAdmin(ModelAdmin):  # type: ignore[misc]
    """Times, and the tasks that have them."""

    inlines: ClassVar[Any] = [TaskInline]


@admin.register(IntervalSchedule, SolarSchedule)
class ConsoleTimesAdmin(TimesAdmin):
    """Intervals, and events of the sun."""


@admin.register(CrontabSchedule)
class ConsoleCrontabAdmin(TimesAdmin, CrontabScheduleAdmin):  # type: ignore[misc]
    """Crontabs with five fields, as Celery reads them."""

    inlines: ClassVar[Any] = [TaskInline]


@admin.register(ClockedSchedule)
class ConsoleClockedAdmin(TimesAdmin, ClockedScheduleAdmin):  # type: ignore[misc]
    """Single instants."""

    inlines: ClassVar[Any] = [TaskInline]
