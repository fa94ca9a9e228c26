"""What triggers want kept, and what a store has of it: compared one step at a time."""

from __future__ import annotations

import asyncio
import enum
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from engine.core.deferred import Deferred
from engine.core.errors import BackendFailed

if TYPE_CHECKING:
    from engine.core.triggers import Trigger

WantedT = TypeVar("WantedT")
T = TypeVar("T")

RETRY_S: Final = 1.0
"""When a store is asked again after it has failed."""

REFUSED_RETRY_S: Final = 30.0
"""When it is asked again after it has refused something: people have to act before it changes."""


class Stage(enum.Enum):
    """How far something is, or shall be, in the store."""

    UNKNOWN = enum.auto()
    ATTACHED = enum.auto()
    DETACHED = enum.auto()
    REMOVED = enum.auto()


class InStep(ABC, Generic[WantedT]):
    """Something that outlives the triggers that ask for it: a subscription, a schedule.

    The newest trigger says what is wanted. The comparison with the store comes at the end of the
    loop's tick where a trigger goes: one that is replaced by another of its id leaves no gap.

    There may be a hundred thousand of a kind, nearly all with one trigger: so it is small.

    Attributes:
        stage: how far the store has come.
        newest: the trigger that is in charge; None without triggers.
        wanted: what it asks for; None without triggers.
    """

    __slots__ = (
        "_is_at_work",
        "_is_scheduled",
        "_loop",
        "_older",
        "_without_triggers",
        "newest",
        "stage",
        "wanted",
    )

    def __init__(self) -> None:
        self.stage = Stage.UNKNOWN
        self.newest: Trigger | None = None
        self.wanted: WantedT | None = None
        self._older: dict[Trigger, WantedT] | None = None
        self._loop = asyncio.get_running_loop()
        self._without_triggers = Stage.DETACHED
        self._is_at_work = False
        self._is_scheduled = False

    @property
    def is_settled_without_triggers(self) -> bool:
        """Whether no trigger needs it and nothing is left to be said to the store."""
        return (
            self.newest is None
            and not self._is_at_work
            and not self._is_scheduled
            and self.stage is not Stage.ATTACHED
        )

    def bind(self, trigger: Trigger, wanted: WantedT) -> None:
        """Let the newest trigger be in charge, from now on."""
        if self.newest is not None:
            assert self.wanted is not None
            self._older = self._older or {}
            self._older[self.newest] = self.wanted
        self.newest, self.wanted = trigger, wanted
        self.retarget()
        if not self._is_at_work:
            self._step()

    def unbind(self, trigger: Trigger, *, keep: bool) -> None:
        """Take a trigger away; the last one decides whether the store keeps what it has."""
        older = self._older
        if trigger is not self.newest:
            assert older is not None
            del older[trigger]
        elif older:
            self.newest, self.wanted = older.popitem()
        else:
            self.newest = self.wanted = None
        self._without_triggers = Stage.DETACHED if keep else Stage.REMOVED
        self.retarget()
        self.schedule()

    def schedule(self) -> None:
        """Compare with the store, soon."""
        if not self._is_scheduled and not self._is_at_work:
            self._is_scheduled = True
            self._loop.call_soon(self._step)

    def _step(self) -> None:
        self._is_scheduled = False
        if self._is_at_work or self.is_closed:
            return  # what is at work compares again; a trigger came before a retry was due
        if self.wanted is not None:
            wanted = self.wanted
            if self.stage is not Stage.ATTACHED or not self.is_known(wanted):
                self._begin(self.attach(wanted), self.on_attached)
            return
        if self.stage in {Stage.UNKNOWN, self._without_triggers, Stage.REMOVED}:
            self.on_over()
        elif self._without_triggers is Stage.DETACHED:
            self._begin(self.detach(), self._on_detached)
        else:
            self._begin(self.remove(), self._on_removed)

    def _begin(self, asked: Deferred[T], done: Callable[[T], None]) -> None:
        self._is_at_work = True
        asked.then(lambda answered: self._on_answer(answered, done))

    def _on_answer(self, answered: Deferred[T], done: Callable[[T], None]) -> None:
        self._is_at_work = False
        if self.is_closed:
            return
        error = answered.error
        if error is None:
            done(answered.value)
            self.schedule()
            return
        self.on_failure(error)
        self._is_scheduled = True
        delay_s = RETRY_S if isinstance(error, BackendFailed) else REFUSED_RETRY_S
        self._loop.call_later(delay_s, self._step)

    def _on_detached(self, _: None) -> None:
        self.stage = Stage.DETACHED

    def _on_removed(self, removed: Any) -> None:
        self.stage = Stage.REMOVED
        self.on_removed(removed)

    # --- what a kind of thing says --------------------------------------------------------------

    @property
    @abstractmethod
    def is_closed(self) -> bool:
        """Whether the engine stops: what the store answers is of no interest any more."""

    @abstractmethod
    def is_known(self, wanted: WantedT) -> bool:
        """Tell whether the store has what is wanted."""

    @abstractmethod
    def attach(self, wanted: WantedT) -> Deferred[Any]:
        """Ask the store to have it so from now on."""

    @abstractmethod
    def on_attached(self, known: Any) -> None:
        """Take what the store answers; it has to enter the stage ATTACHED."""

    @abstractmethod
    def detach(self) -> Deferred[None]:
        """Tell the store that no trigger is left, and that one may come back."""

    @abstractmethod
    def remove(self) -> Deferred[Any]:
        """Tell the store that the last trigger was taken back."""

    @abstractmethod
    def on_removed(self, removed: Any) -> None:
        """Take what the store answers to that."""

    @abstractmethod
    def on_over(self) -> None:
        """Be forgotten, if nothing else needs it."""

    @abstractmethod
    def on_failure(self, error: Exception) -> None:
        """Say that the store has failed; it is asked again."""

    def retarget(self) -> None:
        """Learn that another trigger is the newest."""
