"""The sidebar: where everything is, as far as the user may see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from django.http import HttpRequest
from django.urls import reverse


@dataclass(frozen=True, slots=True)
class Item:
    """One link.

    Attributes:
        title: what people read.
        icon: a name of the Material Symbols font.
        url: the name of the page's URL.
        permission: who sees the link; every member of the staff if it is empty.
    """

    title: str
    icon: str
    url: str
    permission: str = ""


OVERVIEW: Final = (Item("Overview", "space_dashboard", "admin:index"),)

LIVE: Final = (
    Item("Workers", "dns", "admin:live-workers", "console.view_workers"),
    Item("Functions", "function", "admin:live-functions", "console.view_functions"),
    Item("Trigger types", "category", "admin:live-trigger-types", "console.view_trigger_types"),
    Item("Queues", "inbox", "admin:live-queues", "console.view_queues"),
)

DATA: Final = (
    Item("State", "database", "admin:kv_stateentry_changelist", "kv.view_stateentry"),
    Item("KV", "key", "admin:kv_kventry_changelist", "kv.view_kventry"),
    Item(
        "Streams",
        "stream",
        "admin:streams_streamitem_changelist",
        "streams.view_streamitem",
    ),
    Item("Messages", "mail", "admin:engine_delivery_changelist", "engine.view_delivery"),
    Item("Schedules", "schedule", "admin:engine_schedule_changelist", "engine.view_schedule"),
    Item("Ticks", "timer", "admin:engine_tick_changelist", "engine.view_tick"),
    Item("Triggers", "bolt", "admin:engine_trigger_changelist", "engine.view_trigger"),
)

ACCESS: Final = (
    Item("Users", "person", "admin:auth_user_changelist", "auth.view_user"),
    Item("Groups", "group", "admin:auth_group_changelist", "auth.view_group"),
)

CELERY: Final = (
    Item(
        "Periodic tasks",
        "event_repeat",
        "admin:django_celery_beat_periodictask_changelist",
        "django_celery_beat.view_periodictask",
    ),
    Item(
        "Intervals",
        "timelapse",
        "admin:django_celery_beat_intervalschedule_changelist",
        "django_celery_beat.view_intervalschedule",
    ),
    Item(
        "Crontabs",
        "calendar_month",
        "admin:django_celery_beat_crontabschedule_changelist",
        "django_celery_beat.view_crontabschedule",
    ),
    Item(
        "Solar events",
        "wb_twilight",
        "admin:django_celery_beat_solarschedule_changelist",
        "django_celery_beat.view_solarschedule",
    ),
    Item(
        "Clocked times",
        "alarm",
        "admin:django_celery_beat_clockedschedule_changelist",
        "django_celery_beat.view_clockedschedule",
    ),
)

GROUPS: Final = (
    ("", OVERVIEW),
    ("Live", LIVE),
    ("Data", DATA),
    ("Celery tasks of your own", CELERY),
    ("Access", ACCESS),
)


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the groups of links in Unfold's form, without those that the user may not follow."""
    groups = []
    for title, items in GROUPS:
        links = [_link(item) for item in items if _may_follow(request, item)]
        groups.append({"title": title, "separator": bool(title), "items": links})
    return groups


def _link(item: Item) -> dict[str, Any]:
    return {"title": item.title, "icon": item.icon, "link": reverse(item.url)}


def _may_follow(request: HttpRequest, item: Item) -> bool:
    return not item.permission or request.user.has_perm(item.permission)
