"""How the console looks: the options of Unfold, for Django's settings."""

from __future__ import annotations

from typing import Any, Final

from django.http import HttpRequest
from django.templatetags.static import static

import engine

TEAL: Final = {
    "50": "oklch(98.4% .014 180.7)",
    "100": "oklch(95.3% .051 180.8)",
    "200": "oklch(91% .096 180.4)",
    "300": "oklch(85.5% .138 181.1)",
    "400": "oklch(77.7% .152 181.9)",
    "500": "oklch(70.4% .14 182.5)",
    "600": "oklch(51.1% .096 186.4)",
    "700": "oklch(46.5% .087 187)",
    "800": "oklch(43.7% .078 188.2)",
    "900": "oklch(38.6% .063 188.4)",
    "950": "oklch(27.7% .046 192.5)",
}
"""The colour of links and buttons; 600 carries white text, so it is darker than usual."""


def mark(request: HttpRequest) -> str:
    """Return the URL of the console's sign."""
    return static("console/mark.svg")


def stylesheet(request: HttpRequest) -> str:
    """Return the URL of the console's own styles."""
    return static("console/console.css")


UNFOLD: Final[dict[str, Any]] = {
    "SITE_TITLE": "iii console",
    "SITE_HEADER": "iii console",
    "SITE_SUBHEADER": f"engine {engine.__version__}",
    "SITE_URL": None,
    "SITE_ICON": mark,
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": mark}],
    "STYLES": [stylesheet],
    "SIDEBAR": {"navigation": "console.navigation.sidebar"},
    "COLORS": {"primary": TEAL},
}
