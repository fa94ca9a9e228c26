"""The forms of entries: what is typed is checked here, and written by the engine alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from django import forms
from django.core.exceptions import ValidationError
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminTextInputWidget

from console.entry_calls import Place
from console.json_field import JsonField
from kv.models import KvEntry, StateEntry

if TYPE_CHECKING:
    BaseForm = forms.ModelForm[StateEntry | KvEntry]
else:
    BaseForm = forms.ModelForm

MAX_TTL_MS: Final = 2**48 - 1
"""The engine takes no more."""


class EntryForm(BaseForm):
    """What all forms of entries have: the value, and the version that it is meant to replace."""

    value = JsonField()
    version = forms.IntegerField(min_value=0, widget=forms.HiddenInput)

    def _post_clean(self) -> None:
        """Leave out Django's checks of the row: the engine checks, and it alone writes."""

    @property
    def place(self) -> Place:
        """Where the entry is; only of a valid form."""
        raise NotImplementedError


class ChangeForm(EntryForm):
    """Changes an entry, wherever its row is by now."""

    address = forms.CharField(widget=forms.HiddenInput)

    def clean_address(self) -> Place:
        """Read group and key.

        Raises:
            ValidationError: the page has not made this.
        """
        try:
            group, key = json.loads(self.cleaned_data["address"])
        except ValueError as error:
            raise ValidationError("This form is broken; open the entry again.") from error
        return str(group), str(key)

    @property
    def place(self) -> Place:
        """Where the entry is."""
        place: Place = self.cleaned_data["address"]
        return place


class AddForm(EntryForm):
    """Adds an entry."""

    group = forms.CharField(strip=False, widget=UnfoldAdminTextInputWidget)
    key = forms.CharField(strip=False, widget=UnfoldAdminTextInputWidget)
    ttl_ms = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=MAX_TTL_MS,
        label="Time to live",
        help_text="Milliseconds until it is gone. Empty: it stays.",
        widget=UnfoldAdminIntegerFieldWidget,
    )

    @property
    def place(self) -> Place:
        """Where the entry will be."""
        return self.cleaned_data["group"], self.cleaned_data["key"]


def address_of(place: Place) -> str:
    """Return group and key as a form carries them; a browser changes bare line breaks."""
    return json.dumps(place)
