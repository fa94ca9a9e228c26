"""What all live pages have in common: permission, search, and a part that refreshes itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar, Final, TypeVar

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.views import View

from console.engine_calls import EngineNotRunning, EngineTooSlow, InvocationFailed

MAX_ROWS: Final = 500
"""A page shows no more rows; the search narrows them."""

PART: Final = "part"
"""The query parameter by which the page's script asks for the refreshed part alone."""

Entry = TypeVar("Entry")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the query string narrows a list to.

    Attributes:
        search: what must occur in one of an entry's texts; empty for everything.
        with_internal: whether the engine's own things are shown too.
    """

    search: str
    with_internal: bool

    @classmethod
    def of(cls, request: HttpRequest) -> Wanted:
        """Read the query string."""
        return cls(request.GET.get("q", "").strip(), "internal" in request.GET)

    def matches(self, *texts: str | None) -> bool:
        """Tell whether one of the texts contains what is searched for, in any case."""
        wanted = self.search.casefold()
        return any(wanted in text.casefold() for text in texts if text is not None)


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a list that are shown, and how many there are."""

    shown: list[Any]
    count: int

    @property
    def hidden_count(self) -> int:
        """How many rows a page leaves out."""
        return self.count - len(self.shown)

    @classmethod
    def of(cls, entries: Iterable[Any]) -> Rows:
        """Take the first of these entries."""
        everything = list(entries)
        return cls(list(islice(everything, MAX_ROWS)), len(everything))


class LivePage(View, ABC):
    """A page of the admin that shows what the running engine says.

    The page holds a part that its script fetches anew every two seconds, by the same URL with
    `part` in the query. Without the script the page shows what was there when it was loaded.

    Attributes:
        name: the name of its URL within the admin.
        route: where it stands, relative to the admin.
        title: what it is called.
        permission: who may see it, beside being staff; everybody if it is empty.
        page_template: the whole page.
        part_template: the part that refreshes itself; gets what `read` returns.
        search_hint: what the search box says; no box if it is empty.
        internal_label: what the switch for the engine's own things says.
    """

    name: ClassVar[str]
    route: ClassVar[str]
    title: ClassVar[str]
    permission: ClassVar[str] = ""
    page_template: ClassVar[str] = "console/live/page.html"
    part_template: ClassVar[str]
    search_hint: ClassVar[str] = ""
    internal_label: ClassVar[str] = ""

    @abstractmethod
    def read(self, request: HttpRequest) -> dict[str, Any]:
        """Ask the engine; return the context of the part.

        Raises:
            EngineNotRunning: no engine runs in this process.
            EngineTooSlow: it did not answer in time.
            InvocationFailed: it answers that what the page is about does not exist.
        """

    def subject(self, request: HttpRequest) -> str:
        """Return the id or name of the one thing that the page is about; empty for lists."""
        return ""

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Show the page, or its part alone."""
        if self.permission and not request.user.has_perm(self.permission):
            raise PermissionDenied
        part, is_answered = self._part(request)
        if PART in request.GET:
            return HttpResponse(part, status=200 if is_answered else 503)
        context = {
            **admin.site.each_context(request),
            "title": self.title,
            "subject": self.subject(request),
            "page": self,
            "wanted": Wanted.of(request),
            "part": part,
            "is_answered": is_answered,
        }
        return TemplateResponse(request, self.page_template, context)

    def _part(self, request: HttpRequest) -> tuple[str, bool]:
        """Return the HTML of the part, and whether the engine has answered."""
        try:
            context = self.read(request)
        except EngineNotRunning:
            return _failure("no_engine", ""), False
        except EngineTooSlow as error:
            return _failure("too_slow", error.message), False
        except InvocationFailed as error:
            return _failure("gone", error.message), True
        context = {**context, "wanted": Wanted.of(request)}
        return render_to_string(self.part_template, context, request), True


def _failure(reason: str, message: str) -> str:
    context = {"reason": reason, "message": message}
    return render_to_string("console/live/failure.html", context)
