"""The KV server module: values by index and key, without triggers."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from engine.core.functions import Call
from engine.core.modules import Module, ModuleConfig
from engine.core.payloads import reader
from engine.core.protocol import encode
from kv.adapters import KvStoreOptions, open_store
from kv.addresses import BY_INDEX
from kv.arguments import PrefixArguments
from kv.entries import Changed
from kv.expiry import Expiry
from kv.functions import EntryFunctions, register
from kv.schemas import KV_SCHEMAS
from kv.stores.base import Key, Store

if TYPE_CHECKING:
    from engine.core.engine import Engine
    from engine.core.functions import Handler

DESCRIPTIONS: Final = {
    "set": "Put a value, and answer the old and the new one",
    "get": "Answer a value; nothing if there is none",
    "delete": "Delete a value, and answer it as old_value",
    "update": "Change a value by operations, atomically",
    "list": "Answer the values of an index, or a page of its keys and values",
    "list_groups": "Answer the indexes that have values",
    "list_keys_with_prefix": "Answer the keys that start with a prefix, of all indexes or of one",
}

_read_prefix = reader(PrefixArguments)


class KvServer(Module):
    """Values by index and key, shared by all workers, without triggers."""

    class_path = "modules::kv_server::KvServer"
    Config: ClassVar[type[ModuleConfig]] = KvStoreOptions
    on_by_default = True

    config: KvStoreOptions

    def __init__(self, engine: Engine, config: KvStoreOptions) -> None:
        super().__init__(engine, config)
        self.store: Store | None = None
        self._expiry: Expiry | None = None

    async def start(self) -> None:
        """Open the store and install the functions."""
        from kv.models import KvEntry  # configs are checked before Django is set up

        store = open_store(self, "kv_server", KvEntry, BY_INDEX.columns, self.config)
        await store.start()
        self.store = store
        self._expiry = Expiry(store, self._on_change)
        functions = EntryFunctions(store, BY_INDEX, self._on_change)
        handlers: dict[str, Handler] = {
            "set": functions.set,
            "get": functions.get,
            "delete": functions.delete,
            "update": functions.update,
            "list": functions.list,
            "list_groups": functions.list_groups,
            "list_keys_with_prefix": self._list_keys_with_prefix,
        }
        register(self.engine, "kv_server", handlers, DESCRIPTIONS, KV_SCHEMAS)
        await self._expiry.start()

    async def stop(self) -> None:
        """Stop the sweep."""
        if self._expiry is not None:
            await self._expiry.stop()

    def _on_change(self, key: Key, changed: Changed) -> None:
        if changed.new is not None and changed.new.expires_at is not None and self._expiry:
            self._expiry.note(changed.new.expires_at)

    async def _list_keys_with_prefix(self, call: Call) -> bytes:
        """Answer the keys with a prefix."""
        arguments = _read_prefix(call)
        assert self.store is not None
        group = None if arguments.index is None else (arguments.index,)
        return encode(await self.store.names_with_prefix(arguments.prefix, group))
