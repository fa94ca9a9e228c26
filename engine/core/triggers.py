"""Triggers and trigger types: who binds which function to what, and who makes it fire.

A trigger type is provided by a built-in module or by a worker. A trigger whose type nobody
provides waits as pending, without an error, and is handed over as soon as the type appears.
"""

from __future__ import annotations

import asyncio
import difflib
import enum
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from engine.core import outgoing, protocol
from engine.core.errors import TriggerRegistrationFailed
from engine.core.protocol import DEFAULT_NAMESPACE

if TYPE_CHECKING:
    from engine.core.session import WorkerSession

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Trigger:
    """One binding: a trigger type, a function and a config. Its identity is the object.

    Attributes:
        trigger_type: as its owner spelled it; aliases mean the same type.
        config: JSON text, `null` if none was given; kept verbatim for handing over again.
        metadata: JSON text that handlers get beside the payload; None if none was given.
        namespace: where the function lives; None is the owner's namespace, then `default`.
        trigger_namespace: where the type lives; None is the owner's namespace, then `default`.
        owner: the connection that registered it; None for triggers that belong to nobody and
            outlive their creator (`engine::register_trigger`).
    """

    id: str
    trigger_type: str
    function_id: str
    config: bytes = protocol.NULL
    metadata: bytes | None = None
    namespace: str | None = None
    trigger_namespace: str | None = None
    owner: WorkerSession | None = None

    @property
    def owner_namespace(self) -> str:
        """The namespace that an absent one means first."""
        return DEFAULT_NAMESPACE if self.owner is None else self.owner.namespace


class TriggerType(ABC):
    """The contract of a kind of cause.

    `add`, `remove` and `detach` come in registration order, from the event loop, and must not
    block. A trigger is removed or detached only if it was added, and always by identity: two live
    workers may hold triggers of one id.
    """

    id: str
    aliases: tuple[str, ...] = ()
    description: str = ""
    trigger_request_format: bytes = b""
    call_request_format: bytes = b""
    owner: WorkerSession | None = None

    @abstractmethod
    def add(self, trigger: Trigger) -> None:
        """Make the trigger fire from now on.

        Raises:
            TriggerRegistrationFailed: its config cannot be used; the message names the field.
        """

    @abstractmethod
    def remove(self, trigger: Trigger) -> None:
        """Stop the trigger from firing."""

    def detach(self, trigger: Trigger) -> None:
        """Stop a trigger from firing whose owner is gone and may come back."""
        self.remove(trigger)


# Python SDKs announce a trigger type before they remember its handler, in another thread than
# the one that reads: a trigger that comes back within microseconds would be dropped silently.
PROVIDER_SETTLING_S = 0.1


class ProvidedTriggerType(TriggerType):
    """A trigger type that a worker provides: its triggers are handed to that worker.

    The worker fires them itself by invoking the function; the engine has no part in it. Triggers
    that are bound while the announcement is fresh are handed over a moment later.
    """

    def __init__(self, registration: protocol.RegisterTriggerType, owner: WorkerSession) -> None:
        self.id = registration.id
        self.description = registration.description or ""
        self.trigger_request_format = bytes(registration.trigger_request_format)
        self.call_request_format = bytes(registration.call_request_format)
        self.owner: WorkerSession = owner
        self._held: dict[Trigger, None] | None = None
        if PROVIDER_SETTLING_S:
            self._held = {}
            asyncio.get_running_loop().call_later(PROVIDER_SETTLING_S, self._hand_over)

    def add(self, trigger: Trigger) -> None:
        """Hand the trigger over; the answer comes as `triggerregistrationresult`, or never."""
        if self._held is None:
            self._tell("registertrigger", trigger)
        else:
            self._held[trigger] = None

    def remove(self, trigger: Trigger) -> None:
        """Tell the provider that the trigger is gone."""
        if self._held is None:
            self._tell("unregistertrigger", trigger)
        else:
            self._held.pop(trigger, None)

    def _hand_over(self) -> None:
        held, self._held = self._held, None
        for trigger in held or ():
            self._tell("registertrigger", trigger)

    def _tell(
        self, kind: Literal["registertrigger", "unregistertrigger"], trigger: Trigger
    ) -> None:
        frame = outgoing.trigger_frame(
            kind,
            trigger.id,
            trigger.trigger_type,
            trigger.function_id,
            trigger.config,
            trigger.metadata,
        )
        self.owner.outbox.push(frame)


class TriggerState(enum.StrEnum):
    """How far a trigger has come."""

    PENDING = "pending"  # nobody provides its type
    OFFERED = "offered"  # handed to a worker that has not answered
    ACTIVE = "active"
    FAILED = "failed"  # refused; offered again when its type is provided anew


_HANDED_OVER = frozenset({TriggerState.ACTIVE, TriggerState.OFFERED})


@dataclass(slots=True, eq=False)
class Binding:
    """A trigger with its state; `error` is the JSON text of the provider's refusal."""

    trigger: Trigger
    state: TriggerState = TriggerState.PENDING
    error: bytes = b""
    waiter: Callable[[bytes], None] | None = None

    def settle(self, state: TriggerState, error: bytes = b"") -> None:
        """Enter a state and tell whoever waits for the provider's answer."""
        self.state, self.error = state, error
        if self.waiter is not None and state in {TriggerState.ACTIVE, TriggerState.FAILED}:
            self.waiter(error)
            self.waiter = None


@dataclass(slots=True, eq=False)
class TriggerTypeEntry:
    """A trigger type's id in a namespace: its live providers, newest last, and its triggers.

    It exists as long as it has either.
    """

    id: str
    namespace: str
    providers: list[TriggerType] = field(default_factory=list)
    bindings: dict[Trigger, Binding] = field(default_factory=dict)
    ids: dict[str, tuple[Trigger, ...]] = field(default_factory=dict)

    @property
    def provider(self) -> TriggerType | None:
        """Who makes its triggers fire now."""
        return self.providers[-1] if self.providers else None


class TriggerJournal(Protocol):
    """Where triggers are written down for people and for the next start; never waited for."""

    def saved(self, binding: Binding) -> None:
        """A trigger appeared or changed its state."""

    def detached(self, trigger: Trigger) -> None:
        """A trigger's owner is gone; it may come back."""

    def removed(self, trigger: Trigger) -> None:
        """A trigger was unregistered for good."""


class NoJournal:
    """Writes nothing down: for engines without a database."""

    def saved(self, binding: Binding) -> None:
        """Ignore it."""

    def detached(self, trigger: Trigger) -> None:
        """Ignore it."""

    def removed(self, trigger: Trigger) -> None:
        """Ignore it."""


class TriggerRegistry:
    """All trigger types and triggers of the engine.

    Every removal checks the identity of what it removes. Several owners may hold a trigger of
    one id, and several workers may provide one type: the newest live one is in charge.
    """

    def __init__(self, journal: TriggerJournal | None = None) -> None:
        self._entries: dict[tuple[str, str], TriggerTypeEntry] = {}
        self._aliases: dict[str, str] = {}
        self._entry_of: dict[Trigger, TriggerTypeEntry] = {}
        # Nearly always of one: a list would take twice the place.
        self._by_id: dict[str, tuple[Trigger, ...]] = {}
        self._journal: TriggerJournal = journal or NoJournal()

    def __iter__(self) -> Iterator[Binding]:
        for trigger, entry in self._entry_of.items():
            yield entry.bindings[trigger]

    def __len__(self) -> int:
        return len(self._entry_of)

    def types(self) -> Iterator[TriggerTypeEntry]:
        """Yield the types that somebody provides."""
        return (entry for entry in self._entries.values() if entry.providers)

    def find_type(
        self, type_id: str, namespace: str = DEFAULT_NAMESPACE
    ) -> TriggerTypeEntry | None:
        """Return a provided type by any of its spellings."""
        entry = self._entries.get((namespace, self._aliases.get(type_id, type_id)))
        return entry if entry is not None and entry.providers else None

    def by_id(self, trigger_id: str) -> Sequence[Trigger]:
        """Return the live triggers of an id, newest last."""
        return self._by_id.get(trigger_id, ())

    def binding(self, trigger: Trigger) -> Binding | None:
        """Return a trigger with its state, as long as it is registered."""
        entry = self._entry_of.get(trigger)
        return None if entry is None else entry.bindings[trigger]

    def type_of(self, trigger: Trigger) -> TriggerTypeEntry | None:
        """Return the entry that a registered trigger is bound to."""
        return self._entry_of.get(trigger)

    # --- types --------------------------------------------------------------------------------

    def add_builtin_type(self, trigger_type: TriggerType) -> None:
        """Install the trigger type of a module under all its spellings."""
        for spelling in trigger_type.aliases:
            self._aliases[spelling] = trigger_type.id
        self.add_provider(trigger_type, DEFAULT_NAMESPACE)

    def is_taken_by_builtin(self, type_id: str) -> bool:
        """Tell whether a worker may not provide this type."""
        entry = self._entries.get((DEFAULT_NAMESPACE, self._aliases.get(type_id, type_id)))
        return entry is not None and any(each.owner is None for each in entry.providers)

    def add_provider(self, provider: TriggerType, namespace: str) -> None:
        """Put a provider in charge of its type and hand it the triggers that wait for it."""
        entry = self._entry((namespace, provider.id))
        former = entry.provider
        entry.providers = [
            each for each in entry.providers if each.owner is None or each.owner != provider.owner
        ]
        entry.providers.append(provider)
        if former is not None and former.owner is not provider.owner:
            self._withdraw(former, entry)
        if namespace != DEFAULT_NAMESPACE:
            self._adopt_pending(entry)
        for binding in list(entry.bindings.values()):
            self._offer(provider, binding)

    def remove_provider(self, provider: TriggerType, namespace: str) -> None:
        """Take a provider away; its triggers go to the next newest one, else they wait."""
        entry = self._entries.get((namespace, provider.id))
        if entry is None or provider not in entry.providers:
            return
        was_in_charge = entry.provider is provider
        entry.providers.remove(provider)
        if not was_in_charge:
            return
        successor = entry.provider
        for binding in list(entry.bindings.values()):
            if successor is not None:
                self._offer(successor, binding)
            else:
                binding.settle(TriggerState.PENDING)
                self._journal.saved(binding)
        self._drop_if_unused(entry)

    def _withdraw(self, former: TriggerType, entry: TriggerTypeEntry) -> None:
        # The replaced provider may be alive: without this both would fire every trigger.
        for binding in entry.bindings.values():
            if binding.state in _HANDED_OVER:
                former.remove(binding.trigger)

    def _adopt_pending(self, entry: TriggerTypeEntry) -> None:
        # Triggers of this namespace wait under `default` as long as their own had no provider.
        fallback = self._entries.get((DEFAULT_NAMESPACE, entry.id))
        for trigger in list(fallback.bindings) if fallback is not None else ():
            if self._key(trigger) == (entry.namespace, entry.id):
                binding = self._unbind(trigger)
                self._bind(binding, entry)

    # --- triggers -----------------------------------------------------------------------------

    def add(self, trigger: Trigger, waiter: Callable[[bytes], None] | None = None) -> Binding:
        """Register a trigger and hand it to its type's provider, if there is one.

        Args:
            trigger: a new object; replacing an older one of the same owner is the owner's job.
            waiter: called once with the provider's answer: empty, or its error as JSON text.
        """
        entry = self._entry(self._key(trigger))
        binding = Binding(trigger, waiter=waiter)
        self._bind(binding, entry)
        self._by_id[trigger.id] = (*self._by_id.get(trigger.id, ()), trigger)
        provider = entry.provider
        if provider is None:
            self._journal.saved(binding)
            logger.info(
                "trigger waits for its type%s",
                self._hint(trigger.trigger_type),
                extra={"trigger_id": trigger.id, "trigger_type": trigger.trigger_type},
            )
        else:
            self._offer(provider, binding)
        return binding

    def remove(self, trigger: Trigger, *, gone: bool = False) -> None:
        """Unregister exactly this trigger; unknown ones are ignored.

        Args:
            trigger: the object that was added.
            gone: its owner disconnected and may come back, as opposed to having taken it back.
        """
        entry = self._entry_of.get(trigger)
        if entry is None:
            return
        binding = self._unbind(trigger)
        namesakes = _take_out(trigger, self._by_id)
        self._withdraw_one(entry, binding, gone=gone)
        self._drop_if_unused(entry)
        if not gone:
            self._journal.removed(trigger)
        elif not namesakes:
            self._journal.detached(trigger)

    def _withdraw_one(self, entry: TriggerTypeEntry, removed: Binding, *, gone: bool) -> None:
        provider = entry.provider
        if provider is None or removed.state not in _HANDED_OVER:
            return
        # A worker knows its triggers by id only: as long as another connection holds the same
        # one (a reconnect whose old socket ends last), it must not be told.
        if provider.owner is None or removed.trigger.id not in entry.ids:
            if gone:
                provider.detach(removed.trigger)
            else:
                provider.remove(removed.trigger)

    def settle(self, provider: WorkerSession, trigger_id: str, error: bytes) -> None:
        """Take a worker's answer to a trigger that it was handed.

        Only whoever provides the type now is heard. A refused trigger is kept, and offered again
        when its type is provided anew; its owner is told.
        """
        for trigger in self.by_id(trigger_id):
            entry = self._entry_of[trigger]
            if entry.provider is None or entry.provider.owner is not provider:
                continue
            binding = entry.bindings[trigger]
            if error:
                self._fail(binding, error)
            else:
                binding.settle(TriggerState.ACTIVE)
                self._journal.saved(binding)

    def _offer(self, provider: TriggerType, binding: Binding) -> None:
        if provider.owner is not None:
            binding.settle(TriggerState.OFFERED)
        try:
            provider.add(binding.trigger)
        except TriggerRegistrationFailed as error:
            self._fail(binding, protocol.encode_error(error.code, error.message))
            return
        if provider.owner is None:
            binding.settle(TriggerState.ACTIVE)
        self._journal.saved(binding)

    def _fail(self, binding: Binding, error: bytes) -> None:
        trigger = binding.trigger
        logger.warning(
            "trigger refused: %s",
            error.decode(errors="replace"),
            extra={"trigger_id": trigger.id, "trigger_type": trigger.trigger_type},
        )
        binding.settle(TriggerState.FAILED, error)
        self._journal.saved(binding)
        if trigger.owner is not None:
            trigger.owner.outbox.push(
                outgoing.trigger_registration_failed(
                    trigger.id, trigger.trigger_type, trigger.function_id, error
                )
            )

    def _key(self, trigger: Trigger) -> tuple[str, str]:
        type_id = self._aliases.get(trigger.trigger_type, trigger.trigger_type)
        if trigger.trigger_namespace is not None:
            return (trigger.trigger_namespace, type_id)
        own = (trigger.owner_namespace, type_id)
        return own if self.find_type(type_id, own[0]) is not None else (DEFAULT_NAMESPACE, type_id)

    def _entry(self, key: tuple[str, str]) -> TriggerTypeEntry:
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = TriggerTypeEntry(id=key[1], namespace=key[0])
        return entry

    def _bind(self, binding: Binding, entry: TriggerTypeEntry) -> None:
        trigger = binding.trigger
        entry.bindings[trigger] = binding
        entry.ids[trigger.id] = (*entry.ids.get(trigger.id, ()), trigger)
        self._entry_of[trigger] = entry

    def _unbind(self, trigger: Trigger) -> Binding:
        entry = self._entry_of.pop(trigger)
        _take_out(trigger, entry.ids)
        return entry.bindings.pop(trigger)

    def _drop_if_unused(self, entry: TriggerTypeEntry) -> None:
        if not entry.providers and not entry.bindings:
            del self._entries[entry.namespace, entry.id]

    def _hint(self, type_id: str) -> str:
        nearest = self.nearest_type(type_id)
        return f"; did it mean {nearest!r}?" if nearest else ""

    def nearest_type(self, type_id: str) -> str | None:
        """Return the provided type whose spelling comes nearest to an unknown one."""
        known: Iterable[str] = [*(entry.id for entry in self.types()), *self._aliases]
        matches = difflib.get_close_matches(type_id, list(known), n=1)
        return matches[0] if matches else None


def _take_out(trigger: Trigger, by_id: dict[str, tuple[Trigger, ...]]) -> tuple[Trigger, ...]:
    """Take a trigger from those of its id; return the others."""
    others = tuple([each for each in by_id[trigger.id] if each is not trigger])
    if others:
        by_id[trigger.id] = others
    else:
        del by_id[trigger.id]
    return others
