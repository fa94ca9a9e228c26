from __future__ import annotations

import io

import pytest

from iiiproject.terminal import RED, paint, table


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")


def test_a_terminal_shows_colours() -> None:
    assert paint("text", RED, Terminal()) == "\x1b[31mtext\x1b[0m"


def test_a_file_or_pipe_shows_none() -> None:
    assert paint("text", RED, io.StringIO()) == "text"


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_people_can_refuse_colours(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    assert paint("text", RED, Terminal()) == "text"


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert table([("a", "bb", "c"), ("aaa", "b", "")]) == ["  a     bb   c", "  aaa   b"]
    assert table([]) == []
