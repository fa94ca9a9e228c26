"""What the load generator is asked to do, and what it answers: one JSON line each way."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from tests.bench.payloads import Payload

Operation = Literal["set", "get", "update"]
Direction = Literal["upload", "download"]
Kind = Literal["queue", "cron"]

STORE_SCOPE: Final = "bench"


class CallJob(msgspec.Struct, frozen=True, tag=True):
    """Call one function of one worker, `depth` calls in flight, echoing the payload.

    Attributes:
        pid: the process that is measured.
        type_last: frames in the key order of the Python SDK.
        calls: how many calls to make; None means as many as fit into `seconds`.
    """

    port: int
    pid: int
    depth: int
    payload: Payload
    seconds: float
    type_last: bool = False
    calls: int | None = None
    warmup_s: float = 0.3


class FleetJob(msgspec.Struct, frozen=True, tag=True):
    """Connect many workers that register functions, then call across all of them."""

    port: int
    pid: int
    workers: int
    functions_per_worker: int
    depth: int
    payload: Payload
    seconds: float
    warmup_s: float = 0.3


class ServeJob(msgspec.Struct, frozen=True, tag=True):
    """Be the worker behind HTTP routes until the standard input is closed."""

    port: int
    routes: int


class StoreJob(msgspec.Struct, frozen=True, tag=True):
    """Call a function of the state, `depth` calls in flight, over so many keys in turn.

    Attributes:
        operation: `set` and `get` of the payload; `update` increments one key's counter.
        keys: how many keys there are, all set before the measurement.
        stride: every how many of the numbered keys is one of them.
        is_filled: the keys have this payload already: none is set, and the engine may have to
            fetch each one.
        calls: how many calls to make; None means as many as fit into `seconds`.
    """

    port: int
    pid: int
    depth: int
    operation: Operation
    payload: Payload
    keys: int
    seconds: float
    stride: int = 1
    is_filled: bool = False
    calls: int | None = None
    warmup_s: float = 0.3


class MixedJob(msgspec.Struct, frozen=True, tag=True):
    """Call one function of one worker as a `CallJob` does, and set the state meanwhile.

    Attributes:
        depth: of the calls; the sets leave when they are due, however many wait.
        sets_per_s: the pace of the sets.
        keys: how many keys are set in turn.
    """

    port: int
    pid: int
    depth: int
    payload: Payload
    sets_per_s: float
    keys: int
    seconds: float
    warmup_s: float = 0.3


class PublishJob(msgspec.Struct, frozen=True, tag=True):
    """Publish messages of one topic to so many workers that subscribe to it.

    Attributes:
        depth: messages on their way: published and not yet answered, or not yet with everybody.
    """

    port: int
    pid: int
    subscribers: int
    depth: int
    payload: Payload
    seconds: float
    warmup_s: float = 0.3


class StreamJob(msgspec.Struct, frozen=True, tag=True):
    """Change streams while clients follow them, each connection so many groups of the same many.

    Attributes:
        depth: changes on their way: made and not yet answered, or not yet with every follower.
        subscribers: connections.
        groups: how many there are, changed in turn.
        groups_each: how many groups in a row each connection follows.
        is_mixed: every other change is a `stream::send`; otherwise all are `stream::set`.
    """

    port: int
    stream_port: int
    pid: int
    subscribers: int
    groups: int
    groups_each: int
    depth: int
    payload: Payload
    seconds: float
    is_mixed: bool = False
    warmup_s: float = 0.3


class WeightJob(msgspec.Struct, frozen=True, tag=True):
    """Connect many clients of a stream that follow a group each, of which nothing happens."""

    stream_port: int
    pid: int
    subscribers: int


class ChannelJob(msgspec.Struct, frozen=True, tag=True):
    """Send frames through one data channel, as fast as it takes them."""

    port: int
    pid: int
    frame_bytes: int
    seconds: float
    warmup_s: float = 0.3


class EnqueueJob(msgspec.Struct, frozen=True, tag=True):
    """Put messages into a topic whose only subscriber is paused: nothing is delivered meanwhile."""

    port: int
    pid: int
    depth: int
    payload_bytes: int
    seconds: float
    warmup_s: float = 0.3


class DeliverJob(msgspec.Struct, frozen=True, tag=True):
    """Put messages into a topic whose only subscriber answers each one at once.

    Attributes:
        helper: another process whose processor time is told: the Celery worker; 0 for none.
        depth: messages on their way: put in and not yet answered, or not yet with the worker.
        groups: into how many message groups they go in turn; 0 for a queue that keeps no order.
        concurrency: of the subscription; 0 for that of the config.
    """

    port: int
    pid: int
    depth: int
    payload_bytes: int
    seconds: float
    helper: int = 0
    groups: int = 0
    concurrency: int = 0
    warmup_s: float = 0.3


class PickUpJob(msgspec.Struct, frozen=True, tag=True):
    """Put one message after the other into an idle queue.

    Attributes:
        pause_s: from the arrival of one until the next; long enough to be idle again.
    """

    port: int
    pid: int
    messages: int
    payload_bytes: int
    pause_s: float


class BacklogJob(msgspec.Struct, frozen=True, tag=True):
    """Put so many messages into a paused topic, then let its subscriber have them.

    Attributes:
        helper: as that of a `DeliverJob`.
        depth: of the calls that put them in.
    """

    port: int
    pid: int
    messages: int
    depth: int
    payload_bytes: int
    helper: int = 0


class QuietJob(msgspec.Struct, frozen=True, tag=True):
    """Subscribe to so many topics, or have so many schedules for later; do nothing.

    Attributes:
        helpers: other processes whose processor time is told: those of Celery.
        settle_s: after the last trigger is known, before it is measured.
        database_url: of a PostgreSQL whose transactions are counted; empty for none.
    """

    port: int
    pid: int
    kind: Kind
    triggers: int
    seconds: float
    settle_s: float
    helpers: tuple[int, ...] = ()
    database_url: str = ""


class TicksJob(msgspec.Struct, frozen=True, tag=True):
    """Serve so many functions that are due every second, each by a schedule of its own.

    Attributes:
        helpers: as those of a `QuietJob`.
        seconds: for how many whole seconds.
    """

    port: int
    pid: int
    schedules: int
    seconds: int
    helpers: tuple[int, ...] = ()


class ReturnJob(msgspec.Struct, frozen=True, tag=True):
    """Lose workers with so many schedules for later each, and let them come back, so many times.

    Attributes:
        workers: how many there are; each comes when the schedules of the one before are known.
    """

    port: int
    pid: int
    schedules: int
    rounds: int
    workers: int = 1


class TransferJob(msgspec.Struct, frozen=True, tag=True):
    """Send one body through an HTTP route to the worker behind it, or from it."""

    port: int
    http_port: int
    pid: int
    direction: Direction
    size: int


MeasuringJob = (
    CallJob
    | FleetJob
    | StoreJob
    | MixedJob
    | PublishJob
    | StreamJob
    | WeightJob
    | ChannelJob
    | TransferJob
    | EnqueueJob
    | DeliverJob
    | PickUpJob
    | BacklogJob
    | QuietJob
    | TicksJob
    | ReturnJob
)
Job = MeasuringJob | ServeJob


class CallResult(msgspec.Struct, frozen=True):
    """What was measured between the end of the warm-up and the end of the round.

    What is handed to many is counted as it arrives: one call for each who got it.

    Attributes:
        cpu_s: processor time of the measured process in that time; `load_cpu_s` the generator's.
        lost: calls of the whole job that got no answer.
        duplicated: answers of the whole job to no waiting call.
        wrong: answers of the whole job that are errors, or that carry another payload than the
            call; spoiled calls that arrived at the worker are among them.
        sample: the beginning of the first wrong answer.
        helper_cpu_s: processor time of the job's helper, if it has one.
    """

    calls: int
    seconds: float
    p50_us: float
    p95_us: float
    p99_us: float
    cpu_s: float
    load_cpu_s: float
    lost: int
    duplicated: int
    wrong: int
    sample: str
    helper_cpu_s: float = 0.0

    @property
    def calls_per_s(self) -> float:
        """Answered calls per second."""
        return self.calls / self.seconds

    @property
    def cpu_us_per_call(self) -> float:
        """Processor time of the measured process for one call, in microseconds."""
        return self.cpu_s / self.calls * 1e6 if self.calls else 0.0

    @property
    def load_cpu_us_per_call(self) -> float:
        """Processor time of the generator for one call, in microseconds."""
        return self.load_cpu_s / self.calls * 1e6 if self.calls else 0.0


class FleetResult(msgspec.Struct, frozen=True):
    """How long the workers took to arrive, what they weigh, and the calls across all of them.

    Attributes:
        register_s: from the first connect until a call of the function registered last succeeds.
        rss_before_kib, rss_after_kib: memory of the measured process around that.
    """

    workers: int
    register_s: float
    register_cpu_s: float
    rss_before_kib: int
    rss_after_kib: int
    calls: CallResult

    @property
    def workers_per_s(self) -> float:
        """Workers connected, registered and callable per second."""
        return self.workers / self.register_s

    @property
    def kib_per_worker(self) -> float:
        """Growth of the measured process for one worker with its functions."""
        return (self.rss_after_kib - self.rss_before_kib) / self.workers


class MixedResult(msgspec.Struct, frozen=True):
    """What was measured of two loads at once; the processor times in both are those of both."""

    calls: CallResult
    sets: CallResult


class WeightResult(msgspec.Struct, frozen=True):
    """How long the clients took to arrive, and the measured process's memory around that."""

    subscribers: int
    arrival_s: float
    rss_before_kib: int
    rss_after_kib: int

    @property
    def kib_each(self) -> float:
        """Growth of the measured process for one client."""
        return (self.rss_after_kib - self.rss_before_kib) / self.subscribers


class TransferResult(msgspec.Struct, frozen=True):
    """How fast bytes passed, all of them as they were sent.

    Attributes:
        rss_before_kib: memory of the measured process before; `rss_most_kib` the most meanwhile.
    """

    size: int
    seconds: float
    cpu_s: float
    load_cpu_s: float
    rss_before_kib: int
    rss_most_kib: int

    @property
    def mib_per_s(self) -> float:
        """The rate."""
        return self.size / self.seconds / (1 << 20)

    @property
    def growth_mib(self) -> float:
        """By how much the measured process was larger at its largest."""
        return (self.rss_most_kib - self.rss_before_kib) / 1024


class BacklogResult(msgspec.Struct, frozen=True):
    """How a backlog was put in and delivered, and the measured process's memory around that.

    Attributes:
        enqueue_s: until all of it was in; `calls` is what was delivered after that.
        rss_most_kib: the most until all was delivered.
    """

    enqueue_s: float
    calls: CallResult
    rss_before_kib: int
    rss_most_kib: int

    @property
    def growth_mib(self) -> float:
        """By how much the measured process was larger at its largest."""
        return (self.rss_most_kib - self.rss_before_kib) / 1024


class QuietResult(msgspec.Struct, frozen=True):
    """What is done where nothing is to do.

    Attributes:
        transactions: of the database, whoever made them; None if they are not counted.
    """

    triggers: int
    seconds: float
    cpu_s: float
    helper_cpu_s: float
    transactions: int | None

    @property
    def busy_percent(self) -> float:
        """Share of one processor that the measured process used."""
        return self.cpu_s / self.seconds * 100


class ReturnResult(msgspec.Struct, frozen=True):
    """How long it took, each time, until all schedules of the workers were owned again.

    Attributes:
        first_s: as long when they were new.
        lost: schedules that were there before, and not afterwards; `doubled` the other way round.
        rss_before_kib: memory of the measured process before there were any; `rss_after_kib` with
            all of them there for the first time.
    """

    schedules: int
    first_s: float
    back_s: tuple[float, ...]
    lost: int
    doubled: int
    rss_before_kib: int
    rss_after_kib: int

    @property
    def growth_mib(self) -> float:
        """What the schedules of the workers weigh."""
        return (self.rss_after_kib - self.rss_before_kib) / 1024


Result = (
    CallResult
    | FleetResult
    | MixedResult
    | WeightResult
    | TransferResult
    | BacklogResult
    | QuietResult
    | ReturnResult
)


def store_key(number: int) -> str:
    """Return a key of the state, in `STORE_SCOPE`; all are equally long."""
    return f"key{number:07}"


def route_path(number: int) -> str:
    """Return the path pattern of a route of a `ServeJob`; every other one has a parameter."""
    return f"/bench/{number}/items/:id" if number % 2 else f"/bench/{number}/items"


def route_url(number: int) -> str:
    """Return a path that the route of this number serves."""
    return f"/bench/{number}/items/7" if number % 2 else f"/bench/{number}/items"


def encode(message: Job | Result) -> bytes:
    """Write a job or a result as one line."""
    return msgspec.json.encode(message) + b"\n"


def decode_job(line: bytes) -> Job:
    """Read the job that a generator was started with."""
    job: Job = msgspec.json.decode(line, type=Job)
    return job
