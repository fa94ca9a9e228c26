"""The one-time link of the first administrator."""

from __future__ import annotations

import io
import re

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client

from console.first_admin import invite

pytestmark = pytest.mark.django_db(databases=["default", "system"])

ACCOUNT = {"username": "ada", "password1": "correct horse 9", "password2": "correct horse 9"}


def link() -> str:
    path = invite()
    assert path is not None
    return path


def test_the_link_makes_an_administrator_who_is_logged_in(client: Client) -> None:
    path = link()
    assert client.get(path).status_code == 200

    answer = client.post(path, ACCOUNT)

    assert (answer.status_code, answer["location"]) == (302, "/")
    user = User.objects.get()
    assert (user.username, user.is_staff, user.is_superuser) == ("ada", True, True)
    assert user.check_password("correct horse 9")
    assert client.get("/").status_code == 200


def test_the_link_works_once(client: Client) -> None:
    path = link()
    client.post(path, ACCOUNT)

    again = client.post(path, {**ACCOUNT, "username": "mallory"})

    assert again.status_code == 404
    assert "This link does not work" in again.text
    assert User.objects.count() == 1
    assert invite() is None


def test_the_token_is_long_and_new_each_time() -> None:
    first, second = link(), link()

    assert first != second
    assert re.fullmatch(r"/first-admin/[\w-]{43}/", second)


def test_only_the_newest_link_works(client: Client) -> None:
    older, newest = link(), link()

    assert client.get(older).status_code == 404
    assert client.get(newest).status_code == 200


@pytest.mark.parametrize("token", ["x", "ü", "a" * 43])
def test_another_token_does_not_work(token: str, client: Client) -> None:
    link()

    assert client.get(f"/first-admin/{token}/").status_code == 404


@pytest.mark.parametrize(
    ("account", "reason"),
    [
        ({"password1": "12345678", "password2": "12345678"}, "This password is entirely numeric."),
        ({"password1": "short 1", "password2": "short 1"}, "This password is too short."),
        ({"password2": "another"}, "The two password fields didn’t match."),
        ({"username": ""}, "This field is required."),
    ],
)
def test_a_bad_account_is_refused_and_the_link_still_works(
    account: dict[str, str], reason: str, client: Client
) -> None:
    path = link()

    answer = client.post(path, {**ACCOUNT, **account})

    assert answer.status_code == 200
    assert reason in answer.text
    assert not User.objects.exists()
    assert client.post(path, ACCOUNT).status_code == 302


def test_a_foreign_form_is_refused() -> None:
    path = link()

    assert Client(enforce_csrf_checks=True).post(path, ACCOUNT).status_code == 403
    assert not User.objects.exists()


def test_an_administrator_made_by_other_means_ends_the_link(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = link()
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", "correct horse 9")
    call_command(
        "createsuperuser",
        username="grace",
        email="g@example.org",
        interactive=False,
        stdout=io.StringIO(),
    )

    assert client.get(path).status_code == 404
    User.objects.update(is_active=False)
    assert client.get(path).status_code == 404


def test_who_cannot_log_in_is_no_administrator() -> None:
    User.objects.create_superuser("gone", password="x", is_active=False)
    User.objects.create_user("staff", is_staff=True)

    assert invite() is not None


def test_the_login_page_says_how_to_begin(client: Client) -> None:
    assert "There is no administrator yet." in client.get("/login/").text

    User.objects.create_superuser("ada", password="x")

    assert "There is no administrator yet." not in client.get("/login/").text
