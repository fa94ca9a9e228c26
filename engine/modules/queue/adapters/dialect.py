"""How the two databases say what they say in common, in the words of their drivers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from typing import Any, ClassVar


class Dialect(ABC):
    """What statements are put together from; the two databases differ in it."""

    _mark: ClassVar[str]
    """The driver's placeholder."""

    _any_of: ClassVar[str]
    """What makes a condition of a column: that it is in the parameter `_id_list`."""

    _waiting: ClassVar[str]
    """The condition and the order of what waits of a subscription, see `_one`."""

    _text: ClassVar[str]
    """The placeholder of JSON text, which may be null."""

    _texts: ClassVar[str]
    """A table `g` with the column `value`: the texts of the parameter `_text_list`."""

    @property
    def _among(self) -> str:
        """The condition that the id is in the parameter `_id_list`."""
        return f"id {self._any_of}"

    @abstractmethod
    def _id_list(self, ids: Collection[int]) -> Any:
        """Return ids as one parameter."""

    @abstractmethod
    def _one(self, subscription: int) -> tuple[int, ...]:
        """Return the parameters of `_waiting`."""

    @abstractmethod
    def _first(self, rows: str) -> str:
        """Return the condition that the id is among those that a statement with a limit finds."""

    @abstractmethod
    def _text_list(self, texts: Collection[str]) -> Any:
        """Return texts as one parameter."""

    @abstractmethod
    def _text_of(self, data: bytes | None) -> Any:
        """Return JSON text as a parameter."""
