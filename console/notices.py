"""Pages that say why there is no page: errors in words, with what to do about them."""

from __future__ import annotations

from typing import Final

from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string

UNKNOWN_HOST: Final = (
    "The console answers to the names in DJANGO_ALLOWED_HOSTS only, so that no other site can "
    "use your browser to reach it. To open it as {host}, start the engine with "
    "DJANGO_ALLOWED_HOSTS={host} in its environment; several names have commas between them."
)


def notice(request: HttpRequest, status: int, title: str, text: str) -> HttpResponse:
    """Return a page of a title and a sentence, which needs no session and no valid host."""
    context = {"title": title, "text": text, "status": status}
    return HttpResponse(render_to_string("console/notice.html", context), status=status)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer 400; a host name that the settings do not know is what people meet."""
    if not isinstance(exception, DisallowedHost):
        return notice(request, 400, "Bad request", "The console cannot make sense of this request.")
    host = request.META.get("HTTP_HOST", "").rsplit(":", 1)[0] or "this name"
    return notice(
        request, 400, "The console does not know this host name", UNKNOWN_HOST.format(host=host)
    )


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer 403."""
    return notice(
        request,
        403,
        "You may not see this",
        "Your account lacks the permission for this page. An administrator can grant it under "
        "Users or Groups.",
    )


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer 500; needs no database, whose trouble may be the reason."""
    return notice(
        request,
        500,
        "The console has failed",
        "What went wrong stands in the engine's log, with the time of this request. "
        "The engine itself goes on running. Whether a change was made shows when you open its "
        "page again.",
    )


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer 404."""
    return notice(request, 404, "Nothing here", "The console has no page at this address.")
