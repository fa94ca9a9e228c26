"""Links to what is known by its id and namespace."""

from __future__ import annotations

from urllib.parse import urlencode

from django import template
from django.urls import reverse

register = template.Library()


@register.filter
def search_query(text: str) -> str:
    """Return the query string that searches a live list for a text."""
    return urlencode({"q": text})


@register.simple_tag
def detail_url(page: str, item_id: str, namespace: str, **rest: str) -> str:
    """Return the URL of a live page about one thing.

    Ids may hold any character, slashes and dots too: they stand in the query.
    """
    query = urlencode({"id": item_id, "namespace": namespace, **rest})
    return f"{reverse(f'admin:{page}')}?{query}"
