"""The state module: values by scope and key, with triggers on their changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from pydantic import Field

from engine.core.modules import AdapterChoice, Module, ModuleConfig
from kv.adapters import STATE_ADAPTERS, open_store
from kv.addresses import BY_SCOPE
from kv.entries import Changed
from kv.expiry import Expiry
from kv.functions import EntryFunctions, register
from kv.schemas import STATE_SCHEMAS
from kv.state_trigger import StateTriggerType
from kv.stores.base import Key, Store

if TYPE_CHECKING:
    from engine.core.engine import Engine
    from engine.core.functions import Handler

DESCRIPTIONS: Final = {
    "set": "Put a value, and answer the old and the new one",
    "get": "Answer a value; nothing if there is none",
    "delete": "Delete a value, and answer it",
    "update": "Change a value by operations, atomically",
    "list": "Answer the values of a scope, or a page of its keys and values",
    "list_groups": "Answer the scopes that have values",
}


class StateConfig(ModuleConfig):
    """The options of the state module."""

    adapter: AdapterChoice = Field(
        default_factory=STATE_ADAPTERS.default_choice, description="where the values are"
    )
    triggers_enabled: bool = Field(default=True, description="whether changes fire triggers")
    max_value_bytes: int | None = Field(
        default=None, ge=1, description="largest value, in bytes; no limit if absent"
    )
    save_interval_ms: int = Field(
        default=5_000, ge=0, description="accepted without effect: writes are committed at once"
    )


class StateModule(Module):
    """Values by scope and key, shared by all workers, with triggers on their changes."""

    class_path = "modules::state::StateModule"
    aliases = ("iii-state", "state")
    Config: ClassVar[type[ModuleConfig]] = StateConfig
    adapters = STATE_ADAPTERS
    on_by_default = True

    config: StateConfig

    def __init__(self, engine: Engine, config: StateConfig) -> None:
        super().__init__(engine, config)
        self.store: Store | None = None
        self._triggers = StateTriggerType(engine)
        self._expiry: Expiry | None = None

    async def start(self) -> None:
        """Open the store, install the functions and the trigger type."""
        from kv.models import StateEntry  # configs are checked before Django is set up

        store = open_store(self, "state", StateEntry, BY_SCOPE.columns, self.config.adapter.config)
        await store.start()
        self.store = store
        self._expiry = Expiry(store, self._on_change)
        functions = EntryFunctions(store, BY_SCOPE, self._on_change, self.config.max_value_bytes)
        handlers: dict[str, Handler] = {
            "set": functions.set,
            "get": functions.get,
            "delete": functions.delete_bare,
            "update": functions.update,
            "list": functions.list,
            "list_groups": functions.list_groups,
        }
        register(self.engine, "state", handlers, DESCRIPTIONS, STATE_SCHEMAS)
        self.engine.register_trigger_type(self._triggers)
        await self._expiry.start()

    async def stop(self) -> None:
        """Stop the sweep."""
        if self._expiry is not None:
            await self._expiry.stop()

    def _on_change(self, key: Key, changed: Changed) -> None:
        if changed.new is not None and changed.new.expires_at is not None and self._expiry:
            self._expiry.note(changed.new.expires_at)
        if self._triggers.has_triggers and self.config.triggers_enabled:
            self._triggers.on_change(key, changed)
