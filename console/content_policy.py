"""What a browser may load and run on pages of the console, in case somebody smuggles HTML in."""

from __future__ import annotations

from typing import Final

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.deprecation import MiddlewareMixin

HEADER: Final = "Content-Security-Policy"

POLICY: Final = "; ".join(
    (
        "default-src 'self'",
        # Unfold's pages hold expressions that Alpine compiles, but no script of their own.
        "script-src 'self' 'unsafe-eval'",
        # The theme's colours stand in the page, and Alpine shows and hides by style attributes.
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
"""Everything comes from the console itself; a script that stands in a page does not run."""


class ContentPolicyMiddleware(MiddlewareMixin):
    """Sends the policy with every answer."""

    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        """Add the header."""
        response.headers.setdefault(HEADER, POLICY)
        return response
