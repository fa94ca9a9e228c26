"""The stream module: live collections of items, their functions, triggers and WebSocket port."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Final

from pydantic import Field

from engine.core.listeners import Listener
from engine.core.modules import AdapterChoice, Module, ModuleConfig
from kv.adapters import open_store
from kv.entries import Changed
from kv.expiry import Expiry
from kv.stores.base import Key, Store
from streams.adapters import STREAM_ADAPTERS
from streams.arguments import BY_ITEM
from streams.desk import Desk
from streams.functions import StreamFunctions
from streams.schemas import STREAM_SCHEMAS

if TYPE_CHECKING:
    from engine.core.engine import Engine
    from engine.core.functions import Handler

DESCRIPTIONS: Final = {
    "set": "Put an item, and answer its old and new value",
    "get": "Answer an item; nothing if there is none",
    "delete": "Delete an item, and answer it as old_value",
    "update": "Change an item by operations, atomically",
    "list": "Answer the items of a group, or a page of its ids and items",
    "list_groups": "Answer the groups of a stream that have items",
    "list_all": "Answer all streams with their groups",
    "send": "Give those who follow a group or an item an event that is kept nowhere",
    "subscribers": "Answer who follows what now",
}

FAILURE_CODES: Final = {"list": "STREAM_GET_GROUP_ERROR"}
"""Where the code of a failure is not made of the function's name."""

EARLIER_SPELLINGS: Final = {
    "list": ("streams.getGroup",),
    "list_groups": ("streams.listGroups",),
}
"""What the first generation of SDKs calls beside the dotted spellings."""


class StreamConfig(ModuleConfig):
    """The options of the stream module."""

    port: int = Field(default=3112, ge=0, le=65_535, description="port of the stream WebSocket")
    host: str | None = Field(default=None, description="address to listen on")
    auth_function: str | None = Field(
        default=None, description="id of the function that makes the context of a client"
    )
    adapter: AdapterChoice = Field(
        default_factory=STREAM_ADAPTERS.default_choice, description="where the items are"
    )


class StreamModule(Module):
    """Live collections of items that browsers follow."""

    class_path = "modules::stream::StreamModule"
    aliases = ("modules::streams::StreamModule", "iii-stream")
    Config: ClassVar[type[ModuleConfig]] = StreamConfig
    adapters = STREAM_ADAPTERS
    on_by_default = True

    config: StreamConfig

    def __init__(self, engine: Engine, config: StreamConfig) -> None:
        super().__init__(engine, config)
        self.store: Store | None = None
        self.desk: Desk | None = None
        self._expiry: Expiry | None = None

    def listeners(self) -> Sequence[Listener]:
        """Return the port of the stream WebSocket."""
        return (
            Listener(
                room="streams",
                host=self.config.host,
                port=self.config.port,
                protocol="websocket",
                label="streams",
            ),
        )

    async def start(self) -> None:
        """Open the store, install the functions and the trigger types."""
        from streams.models import StreamItem  # configs are checked before Django is set up

        store = open_store(self, "stream", StreamItem, BY_ITEM.columns, self.config.adapter.config)
        await store.start()
        desk = Desk(self.engine, store, self.config.auth_function)
        self.store, self.desk = store, desk
        self._expiry = Expiry(store, self._on_change)
        functions = StreamFunctions(
            store, desk.hub, desk.overrides, self._on_change, desk.on_values, desk.publish
        )
        self._register(functions)
        for trigger_type in desk.trigger_types:
            self.engine.register_trigger_type(trigger_type)
        self.engine.provide(desk)
        await self._expiry.start()

    async def stop(self) -> None:
        """Stop the sweep, and wait for no handler any more."""
        if self.desk is not None:
            self.desk.close()
        if self._expiry is not None:
            await self._expiry.stop()

    def _on_change(self, key: Key, changed: Changed) -> None:
        if changed.new is not None and changed.new.expires_at is not None and self._expiry:
            self._expiry.note(changed.new.expires_at)
        assert self.desk is not None
        self.desk.on_change(key, changed)

    def _register(self, functions: StreamFunctions) -> None:
        handlers: dict[str, Handler] = {
            "set": functions.set,
            "get": functions.get,
            "delete": functions.delete,
            "update": functions.update,
            "list": functions.list,
            "list_groups": functions.list_groups,
            "list_all": functions.list_all,
            "send": functions.send,
            "subscribers": functions.subscribers,
        }
        for name, handler in handlers.items():
            dotted = (f"stream.{name}", f"streams.{name}")
            self.engine.register_function(
                f"stream::{name}",
                handler,
                description=DESCRIPTIONS[name],
                aliases=(*dotted, *EARLIER_SPELLINGS.get(name, ())),
                failure_code=FAILURE_CODES.get(name, f"STREAM_{name.upper()}_ERROR"),
                **STREAM_SCHEMAS[name],
            )
