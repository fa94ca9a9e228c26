"""Middleware: functions that look at a request before its handler and may answer in its place."""

from __future__ import annotations

import logging
from typing import Any

import msgspec

from engine.core.protocol import NULL
from engine.modules.api.answer import interpret
from engine.modules.api.errors import Response

logger = logging.getLogger(__name__)


class _Verdict(msgspec.Struct, gc=False):
    action: Any = None
    response: msgspec.Raw = msgspec.Raw()


def verdict(result: bytes | None, function_id: str) -> Response | None:
    """Read what a middleware function decided.

    Args:
        result: `{"action": "continue"}` or `{"action": "respond", "response": {"status_code",
            "headers", "body"}}`; anything else counts as `continue`, with a warning.
        function_id: for the warning.

    Returns:
        The answer in place of the handler's; None to go on.

    Raises:
        BadStatusCode: the status of the answer does not exist.
    """
    try:
        decision = msgspec.json.decode(result or NULL, type=_Verdict)
    except msgspec.ValidationError:
        decision = _Verdict()
    if decision.action == "respond":
        return interpret(bytes(decision.response) or None, missing_body=NULL)
    if decision.action != "continue":
        logger.warning(
            "middleware answered neither continue nor respond: the request goes on",
            extra={"function_id": function_id},
        )
    return None
