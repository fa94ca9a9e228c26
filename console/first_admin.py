"""The first administrator: made by whoever has the one-time link that a starting engine prints."""

from __future__ import annotations

import secrets
import threading
from typing import Any, Final

from django.contrib import admin
from django.contrib.auth import get_user_model, login
from django.contrib.auth.forms import BaseUserCreationForm
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from unfold.widgets import BASE_INPUT_CLASSES

from console.notices import notice

TOKEN_BYTES: Final = 32
"""What makes guessing hopeless; nothing else limits the attempts."""

PASSWORD_HINT: Final = (
    "At least 8 characters, not all of them digits; not a common password, nothing like the name."
)
"""The validators of the settings in one sentence; each refuses in its own words."""

_lock = threading.Lock()
_token: list[str] = []


def has_admin() -> bool:
    """Tell whether somebody can log in and do everything."""
    return get_user_model().objects.filter(is_superuser=True, is_active=True).exists()


def invite() -> str | None:
    """Return the path of a new one-time link, unless there is an administrator.

    It ends with the process, with its use, and as soon as there is an administrator by other
    means (`manage.py createsuperuser`). An earlier link of this process ends too.
    """
    _token.clear()
    if has_admin():
        return None
    _token.append(secrets.token_urlsafe(TOKEN_BYTES))
    return reverse("first-admin", args=_token)


def _is_open(token: str) -> bool:
    if _token and has_admin():
        _token.clear()
    return bool(_token) and secrets.compare_digest(token.encode(), _token[0].encode())


class FirstAdminForm(BaseUserCreationForm):  # type: ignore[type-arg]
    """Name and password of the first administrator."""

    class Meta:
        model = User
        fields = ("username",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.widget.attrs["class"] = " ".join(BASE_INPUT_CLASSES)
        self.fields["username"].help_text = ""
        self.fields["username"].widget.attrs["autocomplete"] = "username"
        self.fields["password1"].help_text = PASSWORD_HINT
        self.fields["password2"].help_text = ""
        self.fields["password2"].label = "Password again"

    def save(self, commit: bool = True) -> User:
        """Make the user, who may do everything."""
        self.instance.is_staff = self.instance.is_superuser = True
        user: User = super().save(commit)
        return user


@never_cache
@sensitive_post_parameters()
def first_admin(request: HttpRequest, token: str) -> HttpResponse:
    """Show the form behind the link; make the administrator and log them in."""
    if not _is_open(token):
        return _gone(request)
    form = FirstAdminForm(request.POST or None)
    if not form.is_valid():
        context = {**admin.site.each_context(request), "title": "First administrator", "form": form}
        return TemplateResponse(request, "console/first_admin.html", context)
    with _lock:
        if not _is_open(token):
            return _gone(request)
        user = form.save()
        _token.clear()
    login(request, user)
    return redirect("admin:index")


def _gone(request: HttpRequest) -> HttpResponse:
    return notice(
        request,
        404,
        "This link does not work",
        "It has been used, it belongs to an earlier start of the engine, or there is an "
        "administrator already. Log in; or, if nobody can, restart the engine for a new link "
        "or run manage.py createsuperuser.",
    )
