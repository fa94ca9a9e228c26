"""What waits and what is delivered: the list of queues, and one of them with its dead letters."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest

from console import queue_rows
from console.live.page import LivePage, Rows, Wanted
from console.queue_calls import NoQueueModule, find_queue, list_queues
from engine.modules.queue.adapters.base import QueueKind, QueueName

VIEW_QUEUES = "console.view_queues"
VIEW_MESSAGES = "engine.view_delivery"


class QueuesPage(LivePage):
    """Every topic and named queue with its figures."""

    name = "live-queues"
    route = "live/queues/"
    title = "Queues"
    permission = VIEW_QUEUES
    part_template = "console/queues/list.html"
    search_hint = "Name of a topic or queue"

    def read(self, request: HttpRequest) -> dict[str, Any]:
        """Ask for the queues."""
        wanted = Wanted.of(request)
        try:
            answer = list_queues()
        except NoQueueModule:
            return {"is_missing": True}
        found = (each for each in answer.queues if wanted.matches(each.name))
        return {"rows": Rows.of(found), "answer": answer}


class QueuePage(LivePage):
    """One queue: `?kind=…&name=…`."""

    name = "live-queue"
    route = "live/queues/queue/"
    title = "Queue"
    permission = VIEW_QUEUES
    part_template = "console/queues/queue.html"

    def subject(self, request: HttpRequest) -> str:
        """Return its name."""
        return queue_of(request).name

    def read(self, request: HttpRequest) -> dict[str, Any]:
        """Ask for the queue; read what has rows for those who may see it."""
        queue = queue_of(request)
        try:
            answer, entry = find_queue(queue)
        except NoQueueModule:
            return {"is_missing": True}
        context: dict[str, Any] = {
            "answer": answer,
            "queue": queue,
            "entry": entry,
            "may_see_messages": request.user.has_perm(VIEW_MESSAGES),
        }
        if context["may_see_messages"]:  # lines may hold parts of errors
            context["history"] = queue_rows.history(queue)
        if answer.durable:
            context["subscribers"] = queue_rows.subscribers(queue)
            if context["may_see_messages"]:
                context["dead"] = queue_rows.dead_groups(queue)
        return context


def queue_of(request: HttpRequest) -> QueueName:
    """Read which queue the query string means.

    Raises:
        Http404: it names none.
    """
    kind, name = request.GET.get("kind", ""), request.GET.get("name", "")
    try:
        return QueueName(QueueKind(kind), name)
    except ValueError as error:
        raise Http404(f"{kind!r} is no kind of queue") from error
