"""The admin site of the console: Django's own with the live pages beside its models."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from unfold.sites import UnfoldAdminSite

from console.first_admin import has_admin
from console.live import queue_actions, schedule_actions
from console.live.action import Action
from console.live.overview import OverviewPage
from console.live.page import LivePage
from console.live.pages import PAGES
from console.live.schedules import PreviewView
from console.login import LoginForm
from console.skin import mark


class ConsoleSite(UnfoldAdminSite):  # type: ignore[misc]  # Unfold has no types
    """The site behind `django.contrib.admin.site`; plain `ModelAdmin` classes work on it too."""

    login_form = LoginForm

    def extra_urls(self) -> list[URLPattern]:
        """Return the live pages and actions, each for staff with its permission, and the sign.

        Called by Unfold.
        """
        actions: tuple[type[Action], ...] = (*queue_actions.ACTIONS, *schedule_actions.ACTIONS)
        views: tuple[type[LivePage | Action | PreviewView], ...] = (*PAGES, *actions, PreviewView)
        pages = [(view.route, self.admin_view(view.as_view()), view.name) for view in views]
        return [
            *(path(route, view, name=name) for route, view, name in pages),
            path("favicon.ico", favicon, name="favicon"),
        ]

    def index(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponseBase:
        """Show what is connected now."""
        return OverviewPage.as_view()(request)

    def login(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the login form; where nobody can log in yet, say how that changes."""
        response: HttpResponse = super().login(request, extra_context)
        if isinstance(response, TemplateResponse) and response.context_data is not None:
            response.template_name = "console/login.html"
            response.context_data["has_admin"] = has_admin()
        return response


def favicon(request: HttpRequest) -> HttpResponse:
    """Lead browsers to the sign where a page does not name it."""
    return redirect(mark(request))
