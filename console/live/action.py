"""What all pages that have something done have in common: each says first what will happen.

None opens a transaction: on SQLite that would take the write lock, for which the engine's one
writer would wait while the page waits for the engine.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.views import View

from console.engine_calls import EngineNotRunning, EngineTooSlow, InvocationFailed, WriteFailed


class Action(View, ABC):
    """A page that has something done to one thing, and goes back to that thing's page.

    Attributes:
        name: the name of its URL within the admin.
        route: where it stands, relative to the admin.
        title: what it is called.
        permission: who may have it done, beside being staff.
        template: says what will happen; gets what `context` returns.
        away: what a call raises when the thing's page has to say what is wrong.
    """

    name: ClassVar[str]
    route: ClassVar[str]
    title: ClassVar[str]
    permission: ClassVar[str]
    template: ClassVar[str]
    away: ClassVar[tuple[type[Exception], ...]] = (
        EngineNotRunning,
        EngineTooSlow,
        InvocationFailed,
    )

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Let in who may have it done."""
        if not request.user.has_perm(self.permission):
            raise PermissionDenied
        self.find(request)
        try:
            return super().dispatch(request, *args, **kwargs)
        except self.away:
            # The thing's page says what is wrong, and looks again by itself.
            return HttpResponseRedirect(self.home_url())

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Say what will happen."""
        return self.show(request)

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Have it done."""
        try:
            return self.act(request)
        except WriteFailed as error:
            messages.error(request, error.message)
            return self.show(request)

    @abstractmethod
    def find(self, request: HttpRequest) -> None:
        """Find the thing that the page is about, and keep it.

        Raises:
            Http404: there is none.
        """

    @abstractmethod
    def subject(self) -> str:
        """Return the name of the thing."""

    @abstractmethod
    def home_url(self) -> str:
        """Return where the page of the thing is."""

    @abstractmethod
    def record(self, request: HttpRequest, flag: int, line: str) -> None:
        """Write a line of the thing's history."""

    @abstractmethod
    def act(self, request: HttpRequest) -> HttpResponse:
        """Do it, or show the page again.

        Raises:
            WriteFailed: the engine did not do it.
        """

    def context(self, request: HttpRequest) -> dict[str, Any]:
        """Return what the template shows beside the thing."""
        return {}

    def show(self, request: HttpRequest, **more: Any) -> HttpResponse:
        """Show the page."""
        context = {
            **admin.site.each_context(request),
            "title": self.title,
            "subject": self.subject(),
            "home_url": self.home_url(),
            **self.context(request),
            **more,
        }
        return TemplateResponse(request, self.template, context)

    def done(self, request: HttpRequest, flag: int, line: str) -> HttpResponse:
        """Write the line of the history, say it, and go to the thing's page."""
        self.record(request, flag, line)
        messages.success(request, f"{line}.")
        return HttpResponseRedirect(self.home_url())
