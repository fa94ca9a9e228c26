from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from iiiproject.logs import QUIET_LIBRARIES, configure_logging

logger = logging.getLogger("engine.test")


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """A stream to log to; the logging of the tests is put back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield io.StringIO()
    root.handlers[:], root.level = handlers, level
    logging.captureWarnings(False)
    for library in QUIET_LIBRARIES:
        logging.getLogger(library).setLevel(logging.NOTSET)


def test_people_get_a_line_with_the_fields_at_its_end(stream: io.StringIO) -> None:
    configure_logging("info", "text", stream)
    logger.warning("no %s", "route", extra={"trigger_id": "t1", "worker_id": None})
    assert stream.getvalue()[13:] == (
        "WARNING engine.test: no route  trigger_id=t1  worker_id=None\n"
    )


def test_machines_get_one_object_a_line(stream: io.StringIO) -> None:
    configure_logging("info", "json", stream)
    logger.info("up", extra={"port": 1})
    (line,) = stream.getvalue().splitlines()
    record = json.loads(line)
    assert record.pop("time").endswith("+00:00")
    assert record == {"level": "info", "logger": "engine.test", "message": "up", "port": 1}


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_an_exception_comes_with_its_traceback(stream: io.StringIO, log_format: str) -> None:
    configure_logging("info", log_format, stream)
    try:
        raise ValueError("broken")
    except ValueError:
        logger.exception("it failed")
    assert "ValueError: broken" in stream.getvalue()
    assert "Traceback" in stream.getvalue()


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        ("trace", ["debug", "info", "error"]),
        ("info", ["info", "error"]),
        ("warning", ["error"]),
    ],
)
def test_less_than_the_level_is_not_shown(
    stream: io.StringIO, level: str, shown: list[str]
) -> None:
    configure_logging(level, "json", stream)
    logger.debug("debug")
    logger.info("info")
    logger.error("error")
    assert [json.loads(line)["message"] for line in stream.getvalue().splitlines()] == shown


def test_libraries_say_only_what_is_wrong(stream: io.StringIO) -> None:
    configure_logging("debug", "text", stream)
    logging.getLogger("picows").info("new connection")
    logging.getLogger("uvicorn.error").info("request")
    assert stream.getvalue() == ""
