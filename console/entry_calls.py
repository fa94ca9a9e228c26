"""Changes of state and KV entries as the engine's own functions make them, and why they failed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import msgspec

from console.engine_calls import EngineNotRunning, WriteFailed, write
from engine.apps import get_engine
from kv.entries import VersionConflict
from kv.server import KvServer
from kv.state import StateModule
from streams.module import StreamModule

Place: TypeAlias = tuple[str, str]
"""Group (scope or index) and key."""

Result = TypeVar("Result")


class EntryChanged(WriteFailed):
    """An entry is not of the version that somebody saw when they decided to change it."""


class Written(msgspec.Struct):
    """What is used of the answer of `set`."""

    version: int


@dataclass(frozen=True, slots=True)
class EntryCalls:
    """The functions of one module of entries.

    Attributes:
        prefix: of its functions' ids.
        group: how it calls a group of entries: `scope` or `index`.
        module: what provides the functions.
    """

    prefix: str
    group: str
    module: type[StateModule | KvServer | StreamModule]

    def set(self, place: Place, value: bytes, version: int, ttl_ms: int | None) -> int:
        """Put a value where that version is, 0 for none; return the new version.

        Raises:
            EntryChanged: there is another version.
            WriteFailed: it was not written, or nobody knows whether it was.
        """
        payload = {"value": msgspec.Raw(value), "ttl_ms": ttl_ms}
        return self._call("set", place, version, payload, Written).version

    def delete(self, place: Place, version: int) -> None:
        """Delete the entry of that version.

        Raises:
            EntryChanged: there is another version.
            WriteFailed: it was not deleted, or nobody knows whether it was.
        """
        self._call("delete", place, version, {}, msgspec.Raw)

    def obstacle(self) -> str:
        """Say why entries can be looked at only; empty if they can be changed."""
        try:
            modules = get_engine().modules
        except EngineNotRunning:
            return (
                "No engine runs in this process: entries can be looked at, not changed. "
                "Start the engine with `iii`, and open the console that its banner names."
            )
        store = next((each.store for each in modules if isinstance(each, self.module)), None)
        if store is None:
            return (
                f"This engine runs without the module {self.module.class_path}: "
                "entries can be looked at, not changed."
            )
        if not store.is_durable:
            return (
                "This engine keeps these entries in memory (store_method: in_memory): they have "
                f"no rows to show or to change here. Workers see them with {self.prefix}::list."
            )
        return ""

    def _call(
        self,
        name: str,
        place: Place,
        version: int,
        rest: Mapping[str, Any],
        result: type[Result],
    ) -> Result:
        obstacle = self.obstacle()
        if obstacle:
            raise WriteFailed(obstacle)
        group, key = place
        payload = {self.group: group, "key": key, "if_version": version, **rest}
        try:
            return write(f"{self.prefix}::{name}", payload, result)
        except WriteFailed as error:
            if error.code == VersionConflict.code:
                raise EntryChanged("The entry has been changed meanwhile.") from error
            raise
