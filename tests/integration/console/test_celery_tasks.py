"""The pages of Celery tasks that people schedule themselves, in the console's look."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from django_celery_beat.admin import TaskSelectWidget
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from iiiproject.celery import app

pytestmark = pytest.mark.django_db(databases=["default", "system"])

BASE = "/django_celery_beat/"
MODELS = (
    "periodictask",
    "intervalschedule",
    "crontabschedule",
    "solarschedule",
    "clockedschedule",
)


@pytest.mark.parametrize("model", MODELS)
def test_each_kind_is_in_the_sidebar_with_a_list_and_a_form(
    model: str, admin_client: Client
) -> None:
    page = admin_client.get("/").text
    group = page[page.index("Celery tasks of your own") :]

    assert f'href="{BASE}{model}/"' in group
    assert admin_client.get(f"{BASE}{model}/").status_code == 200
    form = admin_client.get(f"{BASE}{model}/add/")
    assert form.status_code == 200
    # A script that stands in a page would not run: it has to be a file.
    assert not re.search(r"<script(?![^>]*(src=|type=\"application/json\"))[^>]*>", form.text)


def test_tasks_that_people_may_schedule_are_offered(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TaskSelectWidget, "celery_app", app)  # that of an engine's process

    form = admin_client.get(f"{BASE}periodictask/add/").text

    assert '<option value="engine.tasks.invoke">' in form
    assert "engine.tasks.drain" not in form
    assert "engine.tasks.run_ticks" not in form


def test_a_task_is_scheduled_and_shown_with_its_times(admin_client: Client) -> None:
    admin_client.post(
        f"{BASE}intervalschedule/add/",
        {
            "every": "10",
            "period": "seconds",
            "periodictask_set-TOTAL_FORMS": "0",
            "periodictask_set-INITIAL_FORMS": "0",
        },
    )
    interval = IntervalSchedule.objects.get()

    answer = admin_client.post(
        f"{BASE}periodictask/add/",
        {
            "name": "greet",
            "regtask": "engine.tasks.invoke",
            "enabled": "on",
            "interval": interval.pk,
            "args": '["greeter::hello"]',
            "kwargs": "{}",
            "headers": "{}",
        },
    )

    assert answer.status_code == 302, answer.text
    task = PeriodicTask.objects.get()
    assert (task.task, task.args, task.interval) == (
        "engine.tasks.invoke",
        '["greeter::hello"]',
        interval,
    )
    assert "greet" in admin_client.get(f"{BASE}periodictask/").text
    assert "greet" in admin_client.get(f"{BASE}intervalschedule/{interval.pk}/change/").text
