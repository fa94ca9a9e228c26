"""Whether what is sent now had better leave together, at the end of the event loop's tick."""

from __future__ import annotations

from typing import Final


class Gathering:
    """A switch for code that answers many at once; only the event loop's thread turns it.

    Whoever is answered early goes on early, which is good as long as each goes on by itself. Where
    what they do next shares a cost, such as a commit, two halves pay it twice.

    Attributes:
        is_on: whether a socket keeps small frames until the tick ends.
    """

    __slots__ = ("is_on",)

    def __init__(self) -> None:
        self.is_on = False


GATHERING: Final = Gathering()
