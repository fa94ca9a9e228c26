"""Pages that have something done to a queue: each says first what will happen."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, Final
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.contrib.admin.models import ADDITION, CHANGE, DELETION
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminTextInputWidget

from console import queue_calls, queue_rows
from console.engine_calls import WriteFailed
from console.history import record
from console.json_field import JsonField, is_editable
from console.live.action import Action
from console.live.queues import VIEW_MESSAGES, queue_of
from console.queue_calls import NoQueueModule
from console.readable import indented_json, readable_json
from engine.models import Delivery, Queue
from engine.modules.queue.adapters.base import QueueKind, QueueName

PREVIEW: Final = 10
"""Dead letters that a page shows of those it is about."""

MAX_COUNT: Final = 1_000_000
MAX_DELAY_MS: Final = 2**48 - 1
"""The engine takes no more."""

REDRIVE: Final = "console.redrive_messages"
DISCARD: Final = "console.discard_messages"


class QueueAction(Action):
    """A page that has something done to a queue, `?kind=…&name=…`, and goes back to its page."""

    away = (*Action.away, NoQueueModule)

    queue: QueueName

    def find(self, request: HttpRequest) -> None:
        """Find the queue."""
        self.queue = self.find_queue(request)

    def find_queue(self, request: HttpRequest) -> QueueName:
        """Return the queue that the page is about.

        Raises:
            Http404: there is none.
        """
        return queue_of(request)

    def subject(self) -> str:
        """Return its name."""
        return self.queue.name

    def home_url(self) -> str:
        """Return where its page is."""
        return queue_url(self.queue)

    def record(self, request: HttpRequest, flag: int, line: str) -> None:
        """Write a line of its history."""
        record_queue(request, self.queue, flag, line)

    def show(self, request: HttpRequest, **more: Any) -> HttpResponse:
        """Show the page."""
        return super().show(request, **{"queue": self.queue, **more})


class PauseAction(QueueAction):
    """Pauses a queue, or lets it go on."""

    name = "queue-pause"
    route = "live/queues/queue/pause/"
    title = "Pause or resume"
    permission = "console.pause_queues"
    template = "console/queues/pause.html"

    def context(self, request: HttpRequest) -> dict[str, Any]:
        """Return whether it is paused now."""
        return {"is_paused": queue_calls.find_queue(self.queue)[1].paused}

    def act(self, request: HttpRequest) -> HttpResponse:
        """Do what the button said, whatever somebody else has done meanwhile."""
        is_paused = request.POST.get("wanted") == "pause"
        queue_calls.set_paused(self.queue, is_paused=is_paused)
        return self.done(request, CHANGE, "Paused" if is_paused else "Resumed")


class PublishForm(forms.Form):
    """A message for a topic."""

    payload = JsonField()
    message_group = forms.CharField(
        required=False,
        max_length=256,
        help_text="Where a subscriber is FIFO, messages of a group stay in order. May be empty.",
        widget=UnfoldAdminTextInputWidget,
    )
    delay_ms = forms.IntegerField(
        required=False,
        min_value=0,
        max_value=MAX_DELAY_MS,
        label="Delay",
        help_text="Milliseconds before it is delivered. May be empty.",
        widget=UnfoldAdminIntegerFieldWidget,
    )


class PublishAction(QueueAction):
    """Puts a message into a topic, after it has shown it once more."""

    name = "queue-publish"
    route = "live/queues/queue/publish/"
    title = "Publish a message"
    permission = "console.publish_messages"
    template = "console/queues/publish.html"

    def find_queue(self, request: HttpRequest) -> QueueName:
        """Return the topic: what is in a named queue is a call of a function."""
        queue = queue_of(request)
        if queue.kind is not QueueKind.TOPIC or not queue.name:
            raise Http404("messages are published to topics")
        return queue

    def context(self, request: HttpRequest) -> dict[str, Any]:
        """Return the form, and who gets the message."""
        initial = {"payload": "{\n  \n}"}
        return {
            "form": PublishForm(initial=initial),
            "subscribers": queue_rows.subscribers(self.queue),
        }

    def act(self, request: HttpRequest) -> HttpResponse:
        """Check what was typed, then ask, then send."""
        form = PublishForm(request.POST)
        if not form.is_valid() or "edit" in request.POST:
            return self.show(request, form=form)
        values = form.cleaned_data
        if "confirmed" not in request.POST:
            return self.show(request, form=form, confirm=readable_json(values["payload"]))
        try:
            sent = queue_calls.publish(
                self.queue.name, values["payload"], values["message_group"], values["delay_ms"]
            )
        except WriteFailed as error:
            messages.error(request, error.message)
            return self.show(request, form=form)
        return self.done(request, ADDITION, f"Published message {sent.message_id}")


class ChooseForm(forms.Form):
    """Which dead letters of a queue are meant."""

    function_id = forms.CharField(
        required=False, strip=False, label="Function", widget=UnfoldAdminTextInputWidget
    )
    error = forms.CharField(
        required=False,
        strip=False,
        label="Error contains",
        help_text="Any part of the error's text, whatever its case.",
        widget=UnfoldAdminTextInputWidget,
    )
    limit = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=MAX_COUNT,
        label="At most",
        help_text="The oldest so many. Empty: all of them.",
        widget=UnfoldAdminIntegerFieldWidget,
    )


class ChosenAction(QueueAction):
    """Has something done to the dead letters of a queue that match a filter.

    Attributes:
        verb: what the button says.
        variant: how it looks.
        consequence: what becomes of the dead letters.
    """

    template = "console/queues/chosen.html"
    verb: ClassVar[str]
    variant: ClassVar[str]
    consequence: ClassVar[str]

    def context(self, request: HttpRequest) -> dict[str, Any]:
        """Return how many there are now, and the first of them."""
        form = ChooseForm(request.GET)
        may_see = request.user.has_perm(VIEW_MESSAGES)
        context = {"form": form, "action": self, "may_see": may_see}
        if not form.is_valid():
            return context
        answer, entry = queue_calls.find_queue(self.queue)
        found = matching(self.queue, form.cleaned_data)
        limit = form.cleaned_data["limit"]
        count = found.count() if answer.durable else entry.dlq_depth
        count = count if limit is None else min(count, limit)
        shown = found.defer("data", "context", "history")[: min(PREVIEW, count)]
        return {
            **context,
            "answer": answer,
            "count": count,
            "shown": list(shown) if may_see else [],
            "hidden_count": max(0, count - PREVIEW),
        }

    def act(self, request: HttpRequest) -> HttpResponse:
        """Have it done to as many as the page has counted: newer ones come after them."""
        form = ChooseForm(request.GET)
        count = request.POST.get("count", "")
        if not form.is_valid() or not (count.isascii() and count.isdecimal() and int(count)):
            messages.warning(request, "Nothing was chosen.")
            return self.show(request)
        values = form.cleaned_data
        chosen: dict[str, Any] = {"limit": int(count)}
        what = ""
        if values["function_id"]:
            chosen["function_id"] = values["function_id"]
            what += f" of {values['function_id']}"
        if values["error"]:
            chosen["error_contains"] = values["error"]
            what += f" with “{values['error']}” in their error"
        done = self.do(chosen)
        return self.done(request, self.flag, f"{self.past} {counted(done)}{what}")

    flag: ClassVar[int]
    past: ClassVar[str]

    @abstractmethod
    def do(self, chosen: dict[str, Any]) -> int:
        """Have it done; return to how many."""


class RedriveAction(ChosenAction):
    """Lets dead letters be delivered anew."""

    name = "queue-redrive"
    route = "live/queues/queue/redrive/"
    title = "Redrive dead letters"
    permission = REDRIVE
    verb = "Redrive"
    past = "Redrove"
    variant = "primary"
    flag = CHANGE
    consequence = "go to the end of the queue and are delivered anew, their attempts from 0"

    def do(self, chosen: dict[str, Any]) -> int:
        """Redrive them."""
        return queue_calls.redrive(self.queue, chosen)


class DiscardAction(ChosenAction):
    """Deletes dead letters."""

    name = "queue-discard"
    route = "live/queues/queue/discard/"
    title = "Discard dead letters"
    permission = DISCARD
    verb = "Discard"
    past = "Discarded"
    variant = "danger"
    flag = DELETION
    consequence = "are deleted for good"

    def do(self, chosen: dict[str, Any]) -> int:
        """Discard them."""
        return queue_calls.discard(self.queue, chosen)


class PayloadForm(forms.Form):
    """The payload with which a dead letter is delivered anew."""

    payload = JsonField()


class RedriveMessageAction(QueueAction):
    """Lets one dead letter, `?id=…`, be delivered anew, with another payload if need be."""

    name = "queue-redrive-message"
    route = "live/queues/message/redrive/"
    title = "Redrive a dead letter"
    permission = REDRIVE
    template = "console/queues/redrive_message.html"

    letter: Delivery

    def find_queue(self, request: HttpRequest) -> QueueName:
        """Find the dead letter, and its queue by it."""
        if not request.user.has_perm(VIEW_MESSAGES):
            raise PermissionDenied
        delivery_id = request.GET.get("id", "")
        if not (delivery_id.isascii() and delivery_id.isdecimal() and len(delivery_id) < 20):
            raise Http404("no id")
        rows = Delivery.objects.filter(pk=int(delivery_id), state=Delivery.State.DEAD)
        letter = rows.select_related("queue").first()
        if letter is None:
            raise Http404("no dead letter of this id")
        self.letter = letter
        return QueueName(QueueKind(letter.queue.kind), letter.queue.name)

    def context(self, request: HttpRequest) -> dict[str, Any]:
        """Return the dead letter and the editor of its payload."""
        fits = is_editable(self.letter.data)
        initial = {"payload": indented_json(self.letter.data)} if fits else {}
        return {"letter": self.letter, "form": PayloadForm(initial=initial) if fits else None}

    def act(self, request: HttpRequest) -> HttpResponse:
        """Redrive it with what the form says, or as it is if it was too large to be shown."""
        if not is_editable(self.letter.data):
            queue_calls.redrive(self.queue, queue_calls.by_ids([self.letter.pk]))
            return self._redriven(request, "as it was")
        form = PayloadForm(request.POST)
        if not form.is_valid():
            return self.show(request, form=form)
        try:
            queue_calls.redrive_edited(self.queue, self.letter.pk, form.cleaned_data["payload"])
        except WriteFailed as error:
            messages.error(request, error.message)
            return self.show(request, form=form)
        return self._redriven(request, "with the payload of the form")

    def _redriven(self, request: HttpRequest, how: str) -> HttpResponse:
        what = f"message {self.letter.message_id} of {self.letter.function_id or 'nobody'}"
        return self.done(request, CHANGE, f"Redrove {what} {how}")


def matching(queue: QueueName, values: dict[str, Any]) -> QuerySet[Delivery]:
    """Return the dead letters that a filter means, the oldest first."""
    found = queue_rows.dead_letters(queue).reverse()
    if values["function_id"]:
        found = found.filter(function_id=values["function_id"])
    if values["error"]:
        found = found.filter(error__icontains=values["error"])
    return found


def counted(count: int) -> str:
    """Say how many dead letters."""
    return "1 dead letter" if count == 1 else f"{count} dead letters"


def queue_url(queue: QueueName) -> str:
    """Return where the page of a queue is."""
    return f"{reverse('admin:live-queue')}?{urlencode(queue._asdict())}"


def record_queue(request: HttpRequest, queue: QueueName, flag: int, line: str) -> None:
    """Write a line of a queue's history."""
    record(request, Queue, queue_rows.history_id(queue), queue.name, flag, line)


ACTIONS: Final[tuple[type[QueueAction], ...]] = (
    PauseAction,
    PublishAction,
    RedriveAction,
    DiscardAction,
    RedriveMessageAction,
)
