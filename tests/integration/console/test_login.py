"""The login form: mistakes are forgiven, guessing is not."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from console import login
from console.failed_logins import MAX_FAILURES, FailedLogins

pytestmark = pytest.mark.django_db(databases=["default", "system"])


@pytest.fixture(autouse=True)
def _fresh_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login, "failed_logins", FailedLogins())


@pytest.fixture(autouse=True)
def _ada(db: None) -> None:
    User.objects.create_superuser("ada", password="right")


def log_in(client: Client, password: str, **request: Any) -> Any:
    return client.post("/login/", {"username": "ada", "password": password}, **request)


def test_mistakes_are_forgiven(client: Client) -> None:
    for _ in range(MAX_FAILURES - 1):
        assert "Please enter the correct username" in log_in(client, "wrong").text

    answer = log_in(client, "right")
    assert (answer.status_code, answer["Location"]) == (302, "/")


def test_after_too_many_failures_even_the_right_password_has_to_wait(client: Client) -> None:
    for _ in range(MAX_FAILURES):
        log_in(client, "wrong")

    answer = log_in(client, "right")

    assert answer.status_code == 200
    assert "Too many failed attempts to log in with this name from your address." in answer.text
    assert "Try again in 15 minutes." in answer.text
    assert log_in(client, "right", REMOTE_ADDR="10.0.0.1").status_code == 302
