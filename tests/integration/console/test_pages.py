"""What all pages of the console have: files, headers, errors in words; and Django's own pages."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connections
from django.test import Client

from console.content_policy import HEADER

pytestmark = pytest.mark.django_db(databases=["default", "system"])

STYLES = "/static/console/console.css"


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        (STYLES, 'text/css; charset="utf-8"'),
        ("/static/console/live.js", 'text/javascript; charset="utf-8"'),
        ("/static/console/mark.svg", "image/svg+xml"),
        ("/static/unfold/css/styles.css", 'text/css; charset="utf-8"'),
    ],
)
def test_static_files_need_no_collecting(path: str, content_type: str, client: Client) -> None:
    answer = client.get(path)

    assert (answer.status_code, answer["content-type"]) == (200, content_type)
    assert len(answer.content) == int(answer["content-length"]) > 100
    assert "access-control-allow-origin" not in answer
    assert answer["x-content-type-options"] == "nosniff"


def test_a_static_file_that_is_known_is_not_sent_again(client: Client) -> None:
    etag = client.get(STYLES)["etag"]

    again = client.get(STYLES, headers={"if-none-match": etag})

    assert (again.status_code, again.content) == (304, b"")


def test_a_static_file_cannot_be_written(client: Client) -> None:
    assert client.post(STYLES).status_code == 405


def test_headers_and_cookies_are_guarded(client: Client) -> None:
    User.objects.create_superuser("ada", password="x")
    page = client.get("/login/")
    answer = client.post("/login/", {"username": "ada", "password": "x"})

    assert {
        name: page[name]
        for name in ("x-frame-options", "x-content-type-options", "referrer-policy")
    } == {
        "x-frame-options": "DENY",
        "x-content-type-options": "nosniff",
        "referrer-policy": "same-origin",
    }
    assert answer.status_code == 302
    for cookie in (page.cookies["iii_csrf"], answer.cookies["iii_session"]):
        assert (cookie["httponly"], cookie["samesite"]) == (True, "Lax")


def test_an_unknown_host_name_is_explained(client: Client) -> None:
    answer = client.get("/login/", headers={"host": "engine.example:3113"})

    assert answer.status_code == 400
    assert "start the engine with DJANGO_ALLOWED_HOSTS=engine.example in its env" in answer.text


def test_a_host_name_is_shown_literally(client: Client) -> None:
    answer = client.get("/login/", headers={"host": "<script>alert(1)</script>"})

    assert answer.status_code == 400
    assert "<script>" not in answer.text


def test_an_unknown_address_is_answered_in_words(admin_client: Client) -> None:
    answer = admin_client.get("/no/such/page/")

    assert answer.status_code == 404
    assert "The console has no page at this address." in answer.text


@pytest.mark.parametrize("path", ["/login/", "/no/such/page/", STYLES])
def test_no_page_runs_what_stands_in_it(path: str, client: Client) -> None:
    policy = dict(part.split(" ", 1) for part in client.get(path)[HEADER].split("; "))

    assert "'unsafe-inline'" not in policy["script-src"]
    assert {name: policy[name] for name in ("default-src", "base-uri", "frame-ancestors")} == {
        "default-src": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }


def test_a_failure_is_told_in_words_without_the_database(client: Client) -> None:
    client.raise_request_exception = False
    with connections["system"].execute_wrapper(_fail):
        answer = client.get("/login/", headers={"cookie": "iii_session=x"})

    assert answer.status_code == 500
    assert "The console has failed" in answer.text
    assert HEADER in answer


def _fail(*statement: Any) -> Any:
    raise OperationalError("disk I/O error")


def test_browsers_find_the_sign_by_themselves(client: Client) -> None:
    answer = client.get("/favicon.ico", follow=True)

    assert (answer.status_code, answer["content-type"]) == (200, "image/svg+xml")


@pytest.mark.parametrize(
    "path",
    [
        "/auth/user/",
        "/auth/user/add/",
        "/auth/group/",
        "/auth/group/add/",
        "/password_change/",
        "/engine/",
        "/django_celery_beat/periodictask/",
        "/django_celery_beat/periodictask/add/",
        "/django_celery_beat/intervalschedule/add/",
        "/django_celery_beat/crontabschedule/add/",
        "/django_celery_beat/solarschedule/add/",
        "/django_celery_beat/clockedschedule/add/",
    ],
)
def test_pages_of_stock_admins_work(path: str, admin_client: Client) -> None:
    assert admin_client.get(path).status_code == 200


def test_an_administrator_makes_an_account_and_it_is_logged(admin_client: Client) -> None:
    account = {
        "username": "grace",
        "usable_password": "true",
        "password1": "correct horse 9",
        "password2": "correct horse 9",
    }

    answer = admin_client.post("/auth/user/add/", account)

    assert answer.status_code == 302
    user = User.objects.get(username="grace")
    history = admin_client.get(f"/auth/user/{user.pk}/history/").text
    assert "Added" in history


def test_logging_out_ends_the_session(admin_client: Client) -> None:
    admin_client.post("/logout/")

    assert admin_client.get("/").status_code == 302
