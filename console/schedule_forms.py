"""The forms of schedules: what is typed is checked here, and written by the engine alone."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from django import forms
from django.core.exceptions import ValidationError
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from console.json_field import JsonField
from console.json_text import is_same_json
from console.readable import indented_json
from engine.core.errors import EngineError
from engine.models import Schedule
from engine.modules.cron.dialect.expression import MAX_LENGTH, parse_expression
from engine.modules.cron.dialect.zones import UnknownZone, find_zone
from engine.modules.cron.settings import MAX_JITTER_MS, MAX_TEXT_BYTES, MAX_TIMEOUT_MS

LONGEST_NAME: Final = 200
FUNCTIONS: Final = "iii-functions"
ZONES: Final = "iii-zones"
"""The ids of the lists from which a browser completes what is typed."""


def _text(**attributes: str) -> UnfoldAdminTextInputWidget:
    return UnfoldAdminTextInputWidget({"autocomplete": "off", "spellcheck": "false", **attributes})


class ScheduleForm(forms.Form):
    """What a person says about a schedule; the fields have the names of `records.Settings`."""

    function_id = forms.CharField(
        label="Function",
        max_length=MAX_TEXT_BYTES,
        widget=_text(list=FUNCTIONS),
        help_text="Its id. It need not be there yet: a run without it is missed.",
    )
    payload = JsonField(
        required=False,
        is_short=True,
        help_text="JSON that the function gets. Empty: the times of the run, as workers get them.",
    )
    expression = forms.CharField(
        max_length=MAX_LENGTH,
        widget=_text(placeholder="0 30 9 * * mon-fri *"),
        help_text="Second, minute, hour, day of month, month, day of week (1 = Sunday), year.",
    )
    timezone = forms.CharField(
        label="Time zone",
        initial="UTC",
        widget=_text(list=ZONES),
        help_text="An IANA name, for example Europe/Berlin.",
    )
    overlap = forms.ChoiceField(
        choices=Schedule.Overlap.choices,
        label="If it is due while it runs",
        widget=UnfoldAdminSelectWidget,
    )
    misfire = forms.ChoiceField(
        choices=Schedule.Misfire.choices,
        label="If it could not run in time",
        widget=UnfoldAdminSelectWidget,
    )
    jitter_ms = forms.IntegerField(
        min_value=0,
        max_value=MAX_JITTER_MS,
        initial=0,
        label="Jitter",
        help_text="Milliseconds: each run starts up to so much later, at random.",
        widget=UnfoldAdminIntegerFieldWidget,
    )
    timeout_ms = forms.IntegerField(
        min_value=0,
        max_value=MAX_TIMEOUT_MS,
        initial=0,
        label="Timeout",
        help_text="Milliseconds: a run without an answer has failed then. 0: it may take for ever.",
        widget=UnfoldAdminIntegerFieldWidget,
    )
    condition_function_id = forms.CharField(
        required=False,
        max_length=MAX_TEXT_BYTES,
        label="Condition",
        widget=_text(list=FUNCTIONS),
        help_text="A function that is asked first: only false or an error skips the run. "
        "May be empty.",
    )
    namespace = forms.CharField(
        required=False,
        max_length=MAX_TEXT_BYTES,
        widget=_text(placeholder="default"),
        help_text="Of the function. May be empty.",
    )
    is_enabled = forms.BooleanField(
        required=False,
        initial=True,
        label="Enabled",
        widget=UnfoldBooleanSwitchWidget,
    )
    repeat_interrupted = forms.BooleanField(
        required=False,
        label="Repeat what was interrupted",
        help_text="Call again what was under way when an engine died: at least once, "
        "not at most once.",
        widget=UnfoldBooleanSwitchWidget,
    )

    def clean_expression(self) -> str:
        """Check it.

        Raises:
            ValidationError: it cannot be read; the message names the field and the fix.
        """
        text: str = self.cleaned_data["expression"]
        try:
            parse_expression(text)
        except EngineError as error:
            raise ValidationError(_sentence(error.message)) from error
        return text

    def clean_timezone(self) -> str:
        """Check it.

        Raises:
            ValidationError: there is none of this name; the message has the nearest one.
        """
        name: str = self.cleaned_data["timezone"]
        try:
            find_zone(name)
        except UnknownZone as error:
            raise ValidationError(_sentence(error.message)) from error
        return name

    @property
    def settings(self) -> dict[str, Any]:
        """What the engine is to store, without the schedule's id; only of a valid form."""
        settings = dict(self.cleaned_data)
        payload = settings.pop("payload")
        if payload:
            settings["payload"] = msgspec.Raw(payload)
        return settings

    def changes(self, row: Schedule) -> list[str]:
        """Say what differs from a row, for the history; only of a valid form."""
        lines = []
        for name, field in self.fields.items():
            new, old = self.cleaned_data[name], getattr(row, name)
            label = (field.label or name).lower()
            if name == "payload":
                if new != b"" and old != "" and is_same_json(old, new):
                    continue
                if new.decode() != old:
                    lines.append(label)
            elif new != old:
                lines.append(f"{label} “{old}” → “{new}”")
        return lines


class NewScheduleForm(ScheduleForm):
    """Makes a schedule."""

    schedule_id = forms.CharField(
        label="Name",
        max_length=LONGEST_NAME,
        widget=_text(placeholder="nightly-report"),
        help_text="Its id: it stands in lists and logs, and stays as it is.",
    )

    field_order = ("schedule_id",)


class RunForm(forms.Form):
    """The payload of a run that is asked for by hand."""

    payload = JsonField(
        required=False,
        is_short=True,
        help_text="JSON that the function gets this time. Empty: what it always gets.",
    )


def initial_of(row: Schedule) -> dict[str, Any]:
    """Return what a form shows of a schedule."""
    initial = {name: getattr(row, name) for name in ScheduleForm.base_fields}
    initial["payload"] = indented_json(row.payload) if row.payload else ""
    return initial


def _sentence(message: str) -> str:
    return f"{message[0].upper()}{message[1:]}."
