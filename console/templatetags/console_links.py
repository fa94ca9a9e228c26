"""Links to what is known by its id and namespace."""

from __future__ import annotations

from typing import Any
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


@register.simple_tag
def queue_url(page: str, queue: Any, **rest: Any) -> str:
    """Return the URL of a page about a queue, which has `kind` and `name`."""
    query = urlencode({"kind": queue.kind, "name": queue.name, **rest})
    return f"{reverse(f'admin:{page}')}?{query}"


@register.simple_tag
def messages_url(queue: Any, state: str) -> str:
    """Return the URL of the list of a queue's messages in a state, one of its filter's."""
    query = urlencode({"queue": f"{queue.kind}:{queue.name}", "state": state})
    return f"{reverse('admin:engine_delivery_changelist')}?{query}"
