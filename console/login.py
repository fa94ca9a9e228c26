"""The login form, which is patient with mistakes and not with guessing."""

from __future__ import annotations

import logging
import math
from typing import Any

from django.core.exceptions import ValidationError
from unfold.forms import AuthenticationForm

from console.failed_logins import FailedLogins

logger = logging.getLogger(__name__)

failed_logins = FailedLogins()
"""Of this process, which is the only one that serves this console."""


class LoginForm(AuthenticationForm):  # type: ignore[misc]  # Unfold has no types
    """Name and password, checked only so many times in a while."""

    def clean(self) -> Any:
        """Check the password, unless there were too many wrong ones.

        Raises:
            ValidationError: they do not fit, or it is too early for another attempt.
        """
        account: str | None = self.cleaned_data.get("username")
        if account is None or not self.cleaned_data.get("password"):
            return super().clean()
        address: str = self.request.META.get("REMOTE_ADDR", "")
        wait_s = failed_logins.begin(account, address)
        if wait_s:
            logger.warning("login refused after too many failures", extra={"address": address})
            raise ValidationError(_too_early(wait_s), code="too_early")
        cleaned = super().clean()
        failed_logins.succeed(account, address)
        return cleaned


def _too_early(wait_s: int) -> str:
    minutes = math.ceil(wait_s / 60)
    return (
        "Too many failed attempts to log in with this name from your address. "
        f"Try again in {minutes} minute{'' if minutes == 1 else 's'}."
    )
