from __future__ import annotations

import io

import pytest

from iiiproject.terminal import RED, Progress, paint, size_text, table


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


def test_progress_is_one_line_of_a_terminal_that_changes_now_and_then() -> None:
    stream = Terminal()
    progress = Progress(stream)
    progress.clear()
    progress.show("1 row")
    progress.show("2 rows")  # too soon
    progress.clear()
    assert stream.getvalue() == "\r\x1b[K1 row\r\x1b[K"


def test_progress_is_not_shown_elsewhere() -> None:
    stream = io.StringIO()
    Progress(stream).show("1 row")
    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    ("size", "text"), [(512, "0.5 KiB"), (2**20, "1.0 MiB"), (2**31, "2,048.0 MiB")]
)
def test_sizes_are_said_for_people(size: int, text: str) -> None:
    assert size_text(size) == text
