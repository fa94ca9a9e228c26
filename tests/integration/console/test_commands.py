"""Django's commands about accounts find the database that holds them."""

from __future__ import annotations

import io
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command

pytestmark = pytest.mark.django_db(databases=["default", "system"])


def test_a_superuser_is_made_from_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", "correct horse 9")
    account: dict[str, Any] = {"username": "ada", "email": "a@example.org", "interactive": False}

    call_command("createsuperuser", **account, stdout=io.StringIO())

    assert User.objects.get(is_superuser=True).check_password("correct horse 9")


def test_a_password_is_changed_from_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    User.objects.create_user("ada")
    monkeypatch.setattr("getpass.getpass", lambda prompt="": "correct horse 9")

    call_command("changepassword", "ada", stdout=io.StringIO())

    assert User.objects.get().check_password("correct horse 9")
