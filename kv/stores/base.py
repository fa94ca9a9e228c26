"""The contract of a store: entries by key, a tuple of names, in groups of one beginning."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias, TypeVar

from mypy_extensions import mypyc_attr

from engine.core.deferred import Deferred
from kv.entries import Change, Changed, Entry, Item

T = TypeVar("T")

Names: TypeAlias = list[str]

Key: TypeAlias = tuple[str, ...]
"""Where an entry is: scope and key, index and key, or stream, group and item."""

Group: TypeAlias = tuple[str, ...]
"""A key without its last name: what entries are listed by."""

SWEEP_SIZE: Final = 500
"""How many expired entries are taken away at once."""


class Unknown:
    """Stands for an entry that is not at hand: whether there is one has to be asked for."""


UNKNOWN: Final = Unknown()


Items: TypeAlias = list[Item]
Groups: TypeAlias = list[Group]


@mypyc_attr(allow_interpreted_subclasses=True)
class Store(ABC):
    """Keeps entries; every method is called on the event loop.

    What an implementation owes: a change is atomic, and answered only when it is as durable as
    the store ever makes it; changes of one entry happen, and are answered, in the order in which
    they were asked for; a read sees every change that was answered before it. Expired entries are
    never seen. Entries keep their place in the order of insertion when they change. A version is
    never used twice.

    Attributes:
        name: of the store, for people: `state`, `kv`.
        place: where the entries are, for people.
        is_durable: whether they outlive the engine.
        is_shared: whether other engines may write, too.
    """

    name: str
    place: str
    is_durable: bool
    is_shared: bool = False

    def peek(self, key: Key) -> Entry | Unknown | None:
        """Return an entry if that takes no time at all, `UNKNOWN` if it has to be asked for."""
        return UNKNOWN

    @abstractmethod
    def get(self, key: Key, finish: Callable[[Entry | None], T]) -> Awaitable[T]:
        """Read an entry; `finish` makes the result of it, before anything else happens."""

    @abstractmethod
    def change(self, key: Key, change: Change, finish: Callable[[Changed], T]) -> Awaitable[T]:
        """Change an entry; `finish` makes the result, in the order of the commits.

        Raises (the awaitable):
            VersionConflict: the change was made for another version; nothing was changed.
            StoreError: it could not be stored; nothing was changed.
        """

    @abstractmethod
    def list(
        self,
        group: Group,
        *,
        prefix: str = "",
        after: int = 0,
        limit: int | None = None,
    ) -> Awaitable[Items]:
        """Return entries in the order of insertion.

        Args:
            group: an unknown one has no entries.
            prefix: of their names.
            after: the position behind which to begin.
            limit: how many at most.
        """

    @abstractmethod
    def get_in_turn(self, key: Key, finish: Callable[[Entry | None], T]) -> Deferred[T]:
        """Read an entry in its turn among the changes.

        `finish` is called when every change that the result shows has been told to its own
        `finish`, and no other has: whoever follows changes from then on misses none and sees none
        twice.
        """

    @abstractmethod
    def list_in_turn(self, group: Group, finish: Callable[[Items], T]) -> Deferred[T]:
        """Read all entries of a group, in the order of insertion, as `get_in_turn` reads one."""

    @abstractmethod
    def groups(self, under: Group = ()) -> Awaitable[Groups]:
        """Return the groups that have entries and begin with `under`, sorted by code point."""

    @abstractmethod
    def names_with_prefix(self, prefix: str, group: Group | None) -> Awaitable[Names]:
        """Return the names with a prefix, of one group or of all, each once, sorted."""

    @abstractmethod
    def sweep(self, finish: Callable[[Key, Changed], None]) -> Awaitable[int]:
        """Delete expired entries, at most SWEEP_SIZE; tell `finish` of each.

        Returns:
            How many were deleted.
        """

    @abstractmethod
    def next_expiry(self) -> Awaitable[int | None]:
        """Return the Unix milliseconds at which the next entry expires, None for never."""

    async def start(self) -> None:  # noqa: B027 - most stores need nothing
        """Get ready."""
