"""Static files straight from the installed packages: no `collectstatic`, no other server."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from whitenoise.middleware import WhiteNoiseMiddleware


class StaticFilesMiddleware(WhiteNoiseMiddleware):  # type: ignore[misc]  # it has no types
    """WhiteNoise with whole responses.

    Under ASGI Django reads a file response to its end in one piece anyway and warns each time;
    the largest file here has some 300 kB.
    """

    @staticmethod
    def serve(static_file: Any, request: HttpRequest) -> HttpResponse:
        """Answer with a file, or with 304 or 405."""
        found = static_file.get_response(request.method, request.META)
        response = HttpResponse(_read(found.file), status=int(found.status))
        del response["content-type"]
        for key, value in found.headers:
            response[key] = value
        return response


def _read(file: Any) -> bytes:
    if file is None:
        return b""
    with file:
        data: bytes = file.read()
    return data
