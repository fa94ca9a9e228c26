"""The history of what people have done: one line for each change that the engine has made."""

from __future__ import annotations

import logging
from typing import Any

from django.contrib import messages
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import DatabaseError
from django.db.models import Model
from django.http import HttpRequest

logger = logging.getLogger(__name__)


def record(
    request: HttpRequest, model: type[Model], object_id: object, name: str, flag: int, line: str
) -> None:
    """Write a line; what it tells of is done, whether this fails or not.

    Args:
        request: of whom it was done.
        model: what was changed, by its kind.
        object_id: which one of that kind.
        name: how people call it.
        flag: ADDITION, CHANGE or DELETION.
        line: what was done.
    """
    user_id: Any = request.user.pk
    try:
        LogEntry.objects.create(
            user_id=user_id,
            content_type=ContentType.objects.get_for_model(model),
            object_id=None if object_id is None else str(object_id),
            object_repr=name[:200],
            action_flag=flag,
            change_message=line,
        )
    except DatabaseError as error:
        logger.exception("a change has no line in the history", extra={"change": line})
        messages.warning(
            request, f"The change was made, but its history lacks a line for it: {error}"
        )
