"""When a grown buffer is given back."""

from __future__ import annotations

from engine.server.grown_buffers import GrownBuffers


class FakeConnection:
    """Counts how often it was asked; the first `refusals` times it cannot."""

    def __init__(self, refusals: int = 0) -> None:
        self.asked = 0
        self._refusals = refusals

    def give_back_buffer(self) -> bool:
        self.asked += 1
        return self.asked > self._refusals


async def test_a_buffer_is_given_back_at_the_second_sweep_after_its_message() -> None:
    grown, connection = GrownBuffers(), FakeConnection()
    grown.note(connection)

    grown._sweep()
    early = connection.asked
    grown._sweep()
    grown._sweep()

    assert (early, connection.asked) == (0, 1)
    assert grown._timer is None


async def test_a_busy_connection_keeps_its_buffer() -> None:
    grown, connection = GrownBuffers(), FakeConnection()

    for _ in range(5):
        grown.note(connection)
        grown._sweep()

    assert connection.asked == 0
    grown.stop()


async def test_a_connection_within_a_frame_is_asked_again() -> None:
    grown, connection = GrownBuffers(), FakeConnection(refusals=2)
    grown.note(connection)

    for _ in range(6):
        grown._sweep()

    assert connection.asked == 3
    assert grown._timer is None


async def test_stopping_forgets_all() -> None:
    grown, connection = GrownBuffers(), FakeConnection()
    grown.note(connection)

    grown.stop()

    assert (grown._timer, grown._recent) == (None, set())
