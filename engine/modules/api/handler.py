"""The call of a request's handler: its time, its slot, its two channels, its one outcome."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from engine.core.channels import Channel, Channels, Direction
from engine.core.errors import InvocationFailed
from engine.core.invocations import invocation_failed
from engine.core.outgoing import RESULT
from engine.core.protocol import NULL
from engine.modules.api.answer import interpret
from engine.modules.api.body import too_large
from engine.modules.api.calls import Deadlines, Slots
from engine.modules.api.errors import (
    CLOSE,
    BadStatusCode,
    CallFailed,
    ClientGone,
    HttpError,
    Response,
)
from engine.modules.api.intake import Intake
from engine.modules.api.request import Request
from engine.modules.api.streaming import Download

logger = logging.getLogger(__name__)

Outcome: TypeAlias = Response | Download | Exception
"""What a handler's call came to: an answer, one that begins now, CallFailed or HttpError."""

Finish: TypeAlias = Callable[[Request, Outcome], None]
"""Takes the outcome of a request, once."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What the calls of all handlers have in common.

    Attributes:
        deadlines: by which their time to the head of the answer is limited.
        slots: where a slot goes back to at that moment.
        channels: the engine's.
        stream_limit: bytes of a request body that streams; None for no limit.
    """

    deadlines: Deadlines
    slots: Slots
    channels: Channels
    stream_limit: int | None


class HandlerCall(msgspec.Struct, eq=False):
    """The call of a request's handler, and what its refs `request_body` and `response` stand for.

    Both have one id and key, told apart by their direction; their channels are made when somebody
    comes for them. Whichever is first makes the answer: a value that the handler returns, or bytes
    in `response`; a handler that returns nothing says that there will be some.

    Args:
        terms: what it has in common with others.
        request: which is handled.
        function_id: of the handler.
        body: of the request; None if it streams.
        status: of the answer where the handler names none.
        finish: takes the outcome, once.
        id: of the channels; `key` of them.
    """

    # A struct because it is made for every request.
    _terms: Terms
    _request: Request
    _function_id: str
    _body: bytes | None
    _status: int
    _finish: Finish
    id: str
    key: str
    _is_answered: bool = False
    _has_returned: bool = False
    _has_failed: bool = False
    _is_writer_lost: bool = False
    _intake: Intake | None = None
    _download: Download | None = None

    def __post_init__(self) -> None:
        terms = self._terms
        terms.channels.offers[self.id] = self
        terms.deadlines.watch(self)

    def channel_members(self) -> bytes:
        """Return the members of the payload that refer to the channels, each after a comma."""
        start = f'{{"channel_id":"{self.id}","access_key":"{self.key}","direction":'
        return f',"request_body":{start}"read"}},"response":{start}"write"}}'.encode()

    def channel(self, direction: Direction) -> Channel:
        """Return `request_body` to read or `response` to write, made now."""
        if self._intake is None:
            self._intake = Intake(self._request, self._body, self._terms.stream_limit, self)
        if direction == "read":
            return self._intake.open()
        if self._download is None:
            self._download = Download(self, is_head=self._request.method == "HEAD")
            self._intake.watch()
        return self._download.channel

    # What the router and the deadlines call.

    def reply(self, kind: bytes, value: bytes | msgspec.Raw) -> None:
        """Take what the handler returned, unless the answer has begun."""
        if self._is_answered or (kind is RESULT and _is_nothing(value)):
            self._has_returned = True
            self._has_failed = kind is not RESULT
            if self._is_writer_lost:
                self._settle()
        else:
            self._answer(self._outcome(kind, value))

    def cancel(self) -> None:
        """End the call because its time is over."""
        limit_s = self._terms.deadlines.timeout_s
        if self._is_answered:
            self._has_failed = True
            self._settle()
        elif self._intake is not None and self._intake.is_starved:
            silence = f"no data of the body for {limit_s:g} s"
            self._answer(HttpError(408, "request_timeout", silence, [CLOSE]))
        else:
            self._answer(too_late(self._function_id, limit_s, "timeout"))

    # What the intake calls.

    def body_moved(self) -> None:
        """Count the time anew: the handler cannot be done before it has the body."""
        if not self._is_answered:
            self._terms.deadlines.renew(self)

    def body_too_large(self, limit: int) -> None:
        """Refuse the request, or break off its answer."""
        self._break_off(too_large(limit))

    def client_left(self) -> None:
        """Tell the handler by its channels."""
        self._break_off(ClientGone("the client left before its answer"))

    # What the download calls.

    def head_ready(self, download: Download) -> None:
        """Begin the answer; from now on it takes as long as it takes."""
        self._answer(download)

    def answer_ready(self, response: Response) -> None:
        """Give an answer without a body."""
        self._answer(response)

    def writer_lost(self) -> None:
        """Wait for the handler to return, but not too long: then it is known to have been alive."""
        self._is_writer_lost = True
        if self._has_returned:
            self._settle()
        elif self._is_answered:
            self._terms.deadlines.watch(self)

    def body_missing(self) -> None:
        """Fail: the handler wrote nothing of what it had announced."""
        problem = "the response channel ended before the answer was complete"
        self._answer(CallFailed(self._function_id, InvocationFailed("channel_lost", problem)))

    def stream_over(self) -> None:
        """Let go of the channels."""
        self._close()

    # The end.

    def _outcome(self, kind: bytes, value: bytes | msgspec.Raw) -> Outcome:
        try:
            if kind is RESULT:
                return interpret(value, status=self._status)
            return CallFailed(self._function_id, invocation_failed(bytes(value)))
        except BadStatusCode as error:
            return CallFailed(self._function_id, error)
        except Exception as error:  # whoever called us is the reader of a worker's connection
            return error

    def _settle(self) -> None:
        """Say how an answer ends whose writer is lost."""
        self._terms.deadlines.is_met(self)
        if self._download is not None:
            self._download.settle(is_complete=not self._has_failed)

    def _break_off(self, error: HttpError | ClientGone) -> None:
        if not self._is_answered:
            self._answer(error)
        elif self._download is not None:
            self._download.abandon()

    def _answer(self, outcome: Outcome) -> None:
        if self._is_answered:
            return
        self._is_answered = True
        terms = self._terms
        terms.deadlines.is_met(self)
        terms.slots.release()
        if self._intake is None:
            terms.channels.offers.pop(self.id, None)
        elif outcome is not self._download:
            self._close()
        try:
            self._finish(self._request, outcome)
        except Exception:
            logger.exception(
                "HTTP answer could not be sent", extra={"function_id": self._function_id}
            )

    def _close(self) -> None:
        self._terms.channels.offers.pop(self.id, None)
        self._terms.deadlines.is_met(self)
        intake, download = self._intake, self._download
        if intake is not None:
            self._intake = self._download = None
            intake.close()
            if download is not None:
                download.abandon()


def _is_nothing(value: bytes | msgspec.Raw) -> bool:
    """Tell whether a handler returned no value, or `null`; a large one is not copied for it."""
    return len(value) <= len(NULL) and bytes(value) in (b"", NULL)


def too_late(function_id: str, limit_s: float, error_code: str) -> HttpError:
    """Return the error of a call that took too long, and log it."""
    logger.warning(
        "function did not answer an HTTP request in time",
        extra={"function_id": function_id, "timeout_s": limit_s},
    )
    return HttpError(504, error_code, f"no answer within {limit_s:g} s")
