"""Which port the console gets."""

from __future__ import annotations

import pytest

from engine.core.errors import StartError
from iiiproject.console import console_listeners


@pytest.mark.parametrize(
    ("port", "environ", "expected"),
    [
        (None, {}, [3113]),
        (None, {"III_CONSOLE_PORT": ""}, [3113]),
        (None, {"III_CONSOLE_PORT": " 8080 "}, [8080]),
        (None, {"III_CONSOLE_PORT": "0"}, [0]),
        (None, {"III_CONSOLE_PORT": "Off"}, []),
        (4000, {"III_CONSOLE_PORT": "8080"}, [4000]),
        (0, {"III_CONSOLE_PORT": "off"}, [0]),
    ],
)
def test_the_port_comes_from_the_command_line_or_the_environment(
    port: int | None, environ: dict[str, str], expected: list[int]
) -> None:
    assert [each.port for each in console_listeners(port, environ)] == expected


@pytest.mark.parametrize("text", ["no", "-1", "65536", "3113.0"])
def test_a_variable_that_is_no_port_is_named(text: str) -> None:
    with pytest.raises(StartError, match=f"^III_CONSOLE_PORT: '{text}' is not a port; use 0 to"):
        console_listeners(None, {"III_CONSOLE_PORT": text})
