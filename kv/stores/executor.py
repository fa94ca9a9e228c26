"""Group commit: one database thread that commits all that waits in one transaction.

Callers on the event loop append operations and await futures; no task is made. The thread takes
what is pending, reads the rows that are touched in one query, lets each operation have its turn in
the order in which they came, writes what has changed, commits, and only then is anybody answered.
An operation that fails fails alone.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, ClassVar, Final, Generic, TypeAlias, TypeVar, cast, overload

from django.db import DatabaseError, InterfaceError, OperationalError, connections
from mypy_extensions import mypyc_attr

from engine.core.deferred import Deferred
from engine.core.errors import BackendFailed, EngineError
from engine.core.gathering import GATHERING
from kv.clock import now_ms
from kv.stores.connection import StoreConnection

logger = logging.getLogger(__name__)

Key = TypeVar("Key", bound=Hashable)
Row = TypeVar("Row")
T = TypeVar("T")

MAX_PENDING: Final = 65_536
MAX_PENDING_BYTES: Final = 128 * 1024 * 1024
"""What may wait for the database; more is refused, not queued."""

MAX_BATCH: Final = 1_000
MAX_BATCH_BYTES: Final = 16 * 1024 * 1024
"""What is committed at once: enough to share a sync, little enough to answer soon."""

HALVED_FROM: Final = 256
"""As much is committed at once even if it is more than half of what waits."""


class StoreError(BackendFailed):
    """Something could not be stored or read; nothing of it was written."""

    code = "store_error"


class StoreUnavailable(StoreError):
    """The database does not answer, is locked or full; later calls are tried anew."""

    code = "store_unavailable"


class StoreOverloaded(StoreError):
    """More waits for the database than it may; the caller should slow down."""

    code = "store_overloaded"


@mypyc_attr(allow_interpreted_subclasses=True)
class Table(ABC, Generic[Key, Row]):
    """A table whose rows the executor reads and writes by key.

    Every method runs in the database thread, inside the batch's transaction. Rows are values:
    a changed row is another object.

    Attributes:
        name: of the table. All engines get ready in the order of names, so that none waits for a
            lock of another that waits for one of its own.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    @abstractmethod
    def begin(self, connection: StoreConnection, keys: Sequence[Key], changes: int) -> None:
        """Get ready for so many changes of these keys: lock them where other engines write."""

    @abstractmethod
    def read(self, connection: StoreConnection, keys: Sequence[Key]) -> dict[Key, Row]:
        """Return the rows of these keys that exist."""

    @abstractmethod
    def write(self, connection: StoreConnection, rows: Mapping[Key, Row]) -> None:
        """Insert or update rows, in this order."""

    @abstractmethod
    def delete(self, connection: StoreConnection, keys: Sequence[Key]) -> None:
        """Delete rows."""

    @abstractmethod
    def committed(self, rows: Mapping[Key, Row | None]) -> None:
        """Learn what is in the database now: rows read or written, None for none."""

    @abstractmethod
    def forget(self) -> None:
        """Forget everything learnt: somebody else has written, or a batch was rolled back."""


@mypyc_attr(allow_interpreted_subclasses=True)
class _Work(Deferred[T]):
    """What waits for the database thread.

    Attributes:
        queued_at: since when, in monotonic seconds.
    """

    __slots__ = ("queued_at",)
    queued_at: float


@mypyc_attr(allow_interpreted_subclasses=True)
class Operation(_Work[T], ABC, Generic[Key, Row, T]):
    """What one caller wants with one row; it is settled after the commit.

    Attributes:
        table: where the row is.
        key: its key.
        size: bytes that wait with the operation.
        reads_only: the row is left as it is, and not locked.
    """

    __slots__ = ("key", "size", "table")
    reads_only: ClassVar[bool] = False

    @property
    def outlives_power(self) -> bool:
        """Whether what it writes has to be there after a power cut; after a crash it is anyway."""
        return True

    def __init__(self, table: Table[Key, Row], key: Key, size: int = 0) -> None:
        super().__init__()
        self.table = table
        self.key = key
        self.size = size

    @abstractmethod
    def apply(self, row: Row | None, now_ms: int) -> Row | None:
        """Return the row afterwards, None to delete it, the same object to leave it.

        Called in the database thread, perhaps more than once, with the row as it is then; what it
        raises as EngineError is the caller's answer.

        Args:
            row: None if there is none.
            now_ms: the present of the whole batch, in Unix milliseconds.
        """

    @abstractmethod
    def finish(self) -> T:
        """Return the caller's answer; called on the event loop, after the commit."""


class Job(_Work[T]):
    """A function that runs in the database thread, in a transaction of its own if it writes."""

    __slots__ = ("_finish", "_result", "function", "writes")
    size: ClassVar[int] = 0

    def __init__(
        self,
        function: Callable[[StoreConnection], Any],
        writes: bool,
        finish: Callable[[Any], T] | None = None,
    ) -> None:
        super().__init__()
        self.function = function
        self.writes = writes
        self._finish = finish

    def do(self, connection: StoreConnection) -> None:
        """Run the function; called in the database thread."""
        if self.writes:
            with connection.transaction():
                self._result = self.function(connection)
        else:
            self._result = self.function(connection)

    def finish(self) -> T:
        """Return the caller's answer; called on the event loop, after the commit."""
        result: T = self._result if self._finish is None else self._finish(self._result)
        return result


_AnyWork: TypeAlias = "Operation[Any, Any, Any] | Job[Any]"
_Failures: TypeAlias = "dict[_AnyWork, Exception]"
"""Which work of a batch failed, and why."""


class Executor:
    """The one writer of a database.

    Args:
        alias: the Django database.
        works_apart: the database is another process. Of much that waits it then gets half, so
            that the event loop answers and reads while it works; they took turns otherwise. And
            its commits cost so much that all of one are answered together: what their callers do
            next shares one, too.

    Attributes:
        alias: the same.
        checked_at: when (monotonic seconds) it was last asked whether somebody else has written.
    """

    def __init__(self, alias: str = "default", *, works_apart: bool = False) -> None:
        self.alias = alias
        self._works_apart = works_apart
        self._loop: asyncio.AbstractEventLoop | None = None
        self._condition = threading.Condition()
        self._queue: list[_AnyWork] = []
        self._queued_bytes = 0
        self._fresh: list[_AnyWork] = []
        self._fresh_since = 0.0
        self._is_stopping = False
        self._locked_out_since: float | None = None
        self.checked_at = 0.0
        self._tables: dict[Table[Any, Any], None] = {}
        self._worker = threading.Thread(target=self._run, name=f"store-{alias}", daemon=True)

    # --- on the event loop --------------------------------------------------------------------

    def start(self) -> None:
        """Begin to work for the running loop."""
        self._loop = asyncio.get_running_loop()
        self._worker.start()

    async def stop(self) -> None:
        """Commit what was accepted, answer it, and end."""
        self._hand_over()
        with self._condition:
            self._is_stopping = True
            self._condition.notify()
        if self._worker.is_alive():
            await asyncio.get_running_loop().run_in_executor(None, self._worker.join)
            await asyncio.sleep(0)  # the last answers were scheduled before the thread ended

    @property
    def pending(self) -> int:
        """How many operations wait or are being committed next."""
        return len(self._queue) + len(self._fresh)

    def attach(self, table: Table[Any, Any]) -> None:
        """Tell a table when somebody else has written."""
        self._tables[table] = None

    def submit(self, operation: Operation[Any, Any, T]) -> Deferred[T]:
        """Queue an operation, and return it.

        It is rejected with StoreOverloaded if too much waits already, with StoreUnavailable if
        the executor is stopping or the database failed.
        """
        self._append(operation)
        return operation

    def run(self, function: Callable[[StoreConnection], T]) -> Deferred[T]:
        """Run a function that writes in the database thread, in one transaction."""
        job: Job[T] = Job(function, writes=True)
        self._append(job)
        return job

    @overload
    def query(self, function: Callable[[StoreConnection], T]) -> Deferred[T]: ...

    @overload
    def query(
        self, function: Callable[[StoreConnection], Row], finish: Callable[[Row], T]
    ) -> Deferred[T]: ...

    def query(
        self,
        function: Callable[[StoreConnection], Any],
        finish: Callable[[Any], Any] | None = None,
    ) -> Deferred[Any]:
        """Run a function that only reads in the database thread, after what was queued before.

        `finish` makes the caller's answer of what it returns, on the event loop: after all that
        was queued before has been answered, and before anything that was queued after it.
        """
        job: Job[Any] = Job(function, writes=False, finish=finish)
        self._append(job)
        return job

    def _append(self, work: _AnyWork) -> None:
        if self._loop is None:
            raise RuntimeError("the executor has not been started")
        fresh = self._fresh
        if (
            len(self._queue) + len(fresh) >= MAX_PENDING
            or self._queued_bytes >= MAX_PENDING_BYTES
            or self._is_stopping
        ):
            work.reject(self._refusal())
            return
        self._queued_bytes += work.size
        if not fresh:
            # All of a tick is handed over at once: a thread woken by the first operation would
            # commit it alone.
            self._fresh_since = time.monotonic()
            self._loop.call_soon(self._hand_over)
        work.queued_at = self._fresh_since
        fresh.append(work)

    def _refusal(self) -> StoreError:
        if self._is_stopping:
            return StoreUnavailable("the engine is stopping")
        return StoreOverloaded(f"{self.pending} operations wait for the database already")

    def _hand_over(self) -> None:
        fresh, self._fresh = self._fresh, []
        if fresh:
            with self._condition:
                self._queue += fresh
                self._condition.notify()

    def _settle(self, batch: Sequence[_AnyWork], failures: _Failures, size: int) -> None:
        """Answer everybody of a batch, in the order in which they came."""
        self._queued_bytes -= size
        GATHERING.is_on = self._works_apart
        try:
            for work in batch:
                if work in failures:
                    work.reject(failures[work])
                    continue
                try:
                    answer = work.finish()
                except Exception as error:
                    work.reject(error)
                else:
                    work.resolve(answer)
        finally:
            GATHERING.is_on = False

    # --- in the database thread ---------------------------------------------------------------

    def _run(self) -> None:
        connection = StoreConnection(connections[self.alias])
        try:
            while True:
                batch, size = self._take()
                if not batch:
                    break
                failures = self._work_off(connection, batch)
                assert self._loop is not None
                self._loop.call_soon_threadsafe(self._settle, batch, failures, size)
        finally:
            connection.close()

    def _take(self) -> tuple[list[_AnyWork], int]:
        """Wait for work; return operations for one commit or one job, and their bytes.

        Nothing at the end.
        """
        with self._condition:
            while not self._queue:
                if self._is_stopping:
                    return [], 0
                self._condition.wait()
            queue = self._queue
            waiting = len(queue) // 2 if self._works_apart else len(queue)
            most = min(MAX_BATCH, max(HALVED_FROM, waiting))
            end = size = 0
            for work in queue[:most]:
                if isinstance(work, Job):
                    end = end or 1
                    break
                end += 1
                size += work.size
                if size >= MAX_BATCH_BYTES:
                    break
            batch = queue[:end]
            del queue[:end]
            return batch, size

    def _work_off(self, connection: StoreConnection, batch: list[_AnyWork]) -> _Failures:
        began = time.monotonic()
        try:
            self._set_patience(connection, batch, began)
            first = batch[0]
            if not isinstance(first, Job):
                return self._commit(connection, cast("list[Operation[Any, Any, Any]]", batch))
            self._notice_other_writers(connection)
            first.do(connection)
            if first.writes:
                self._locked_out_since = None
            return {}
        except Exception as error:
            is_locked_out = connection.is_locked_out(error)
            connection.recover()
            for table in self._tables:
                table.forget()
            if is_locked_out and self._locked_out_since is None:
                self._locked_out_since = began
            if len(batch) > 1 and not isinstance(error, (OperationalError, InterfaceError)):
                # One row that the database refuses must not take its neighbours along.
                half = len(batch) // 2
                return self._work_off(connection, batch[:half]) | self._work_off(
                    connection, batch[half:]
                )
            failure = _failure(error)
            reads = [work for work in batch if isinstance(work, Operation) and work.reads_only]
            if not 0 < len(reads) < len(batch):
                return dict.fromkeys(batch, failure)
            # They need no lock of the file, which the others have waited for in vain.
            writes = [work for work in batch if work not in reads]
            return self._work_off(connection, list(reads)) | dict.fromkeys(writes, failure)

    def _set_patience(
        self, connection: StoreConnection, batch: Sequence[_AnyWork], now: float
    ) -> None:
        """Let nobody who has waited behind a lock in vain wait for it once more as long."""
        patience_s = connection.patience_s
        if self._locked_out_since is not None:
            patience_s -= now - max(self._locked_out_since, batch[-1].queued_at)
        connection.wait_for_lock(max(0.0, patience_s))

    def _commit(
        self, connection: StoreConnection, batch: Sequence[Operation[Any, Any, Any]]
    ) -> _Failures:
        touched: dict[Table[Any, Any], _Touched] = {}
        for operation in batch:
            each = touched.get(operation.table)
            if each is None:
                each = touched[operation.table] = _Touched()
            each.keys[operation.key] = None
            if not operation.reads_only:
                each.written[operation.key] = None
                each.changes += 1
        if any(each.written for each in touched.values()):
            failures = self._write(connection, batch, touched)
            self._locked_out_since = None
        else:
            self._notice_other_writers(connection)
            for table, each in touched.items():
                each.rows = table.read(connection, list(each.keys))
            failures = _apply(batch, touched)
        for table, each in touched.items():
            table.committed({key: each.rows.get(key) for key in each.keys})
        return failures

    def _write(
        self,
        connection: StoreConnection,
        batch: Sequence[Operation[Any, Any, Any]],
        touched: Mapping[Table[Any, Any], _Touched],
    ) -> _Failures:
        is_synced = any(each.outlives_power and not each.reads_only for each in batch)
        with connection.plain_transaction(is_synced=is_synced):
            self._notice_other_writers(connection)  # from here on there is none
            for table, each in sorted(touched.items(), key=lambda item: item[0].name):
                if each.written:
                    table.begin(connection, list(each.written), each.changes)
                each.rows = table.read(connection, list(each.keys))
            failures = _apply(batch, touched)
            for table, each in touched.items():
                if each.deleted:
                    table.delete(connection, list(each.deleted))
                if each.changed:
                    table.write(connection, each.changed)
        return failures

    def _notice_other_writers(self, connection: StoreConnection) -> None:
        if connection.was_written_elsewhere():
            for table in self._tables:
                table.forget()
        self.checked_at = time.monotonic()


class _Touched:
    """What a batch does with one table.

    Attributes:
        keys: every key, in the order of first use.
        written: those of operations that may write.
        changes: how many such operations there are.
        rows: as they are now, after the operations so far.
        changed: the rows among them that are new.
        deleted: keys whose row was deleted at some point, even if there is one again.
    """

    __slots__ = ("changed", "changes", "deleted", "keys", "rows", "written")

    def __init__(self) -> None:
        self.keys: dict[Any, None] = {}
        self.written: dict[Any, None] = {}
        self.changes = 0
        self.rows: dict[Any, Any] = {}
        self.changed: dict[Any, Any] = {}
        self.deleted: dict[Any, None] = {}


def _apply(
    batch: Sequence[Operation[Any, Any, Any]], touched: Mapping[Table[Any, Any], _Touched]
) -> _Failures:
    """Let every operation have its turn."""
    failures: _Failures = {}
    now = now_ms()
    for operation in batch:
        key, each = operation.key, touched[operation.table]
        former = each.rows.get(key)
        try:
            row = operation.apply(former, now)
        except EngineError as error:
            failures[operation] = error
            continue
        except Exception as error:
            logger.exception("a store operation failed")
            failures[operation] = StoreError(f"{type(error).__name__}: {error}")
            continue
        if row is former:
            continue
        if row is None:
            del each.rows[key]
            each.changed.pop(key, None)
            each.deleted[key] = None
        else:
            each.rows[key] = each.changed[key] = row
    return failures


def _failure(error: Exception) -> EngineError:
    if isinstance(error, EngineError):
        return error
    reason = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, (OperationalError, InterfaceError)):
        logger.error("the database failed: %s", reason)
        return StoreUnavailable(f"the database failed, nothing was written: {reason}")
    if isinstance(error, DatabaseError):
        return StoreError(f"the database refused it: {reason}")
    logger.error("the store failed", exc_info=error)
    return StoreError(f"{type(error).__name__}: {reason}")
