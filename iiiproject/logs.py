"""How the engine logs: lines for people, or one JSON object a line."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, Final, TextIO

from iiiproject.terminal import BOLD, DIM, RED, YELLOW, paint

LEVELS: Final = {
    "trace": logging.DEBUG,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

QUIET_LIBRARIES: Final = (
    "picows",
    "asyncio",
    "uvicorn",
    "daphne",
    "twisted",
    "websockets",
    "celery",
    "kombu",
)
"""Libraries that log each connection or task: only their warnings are of interest."""

_OWN_ATTRIBUTES: Final = frozenset(
    {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}
)


def configure_logging(level: str, log_format: str, stream: TextIO | None = None) -> None:
    """Send every log line of the process to a stream, stderr unless another is given.

    Args:
        level: the least level that is shown, a key of LEVELS.
        log_format: `text` or `json`.
        stream: where it goes.
    """
    target = sys.stderr if stream is None else stream
    handler = logging.StreamHandler(target)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter(target))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(LEVELS[level])
    for library in QUIET_LIBRARIES:
        logging.getLogger(library).setLevel(max(LEVELS[level], logging.WARNING))
    logging.captureWarnings(True)


def fields(record: logging.LogRecord) -> dict[str, Any]:
    """Return what a log call gave as `extra`."""
    return {key: value for key, value in vars(record).items() if key not in _OWN_ATTRIBUTES}


class TextFormatter(logging.Formatter):
    """`12:00:00.123 WARNING engine.core.triggers: message  trigger_id=…`, coloured on terminals."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream

    def format(self, record: logging.LogRecord) -> str:
        """Put one record into a line; a traceback follows on lines of its own."""
        time = datetime.fromtimestamp(record.created).strftime("%H:%M:%S.%f")[:-3]
        text = f"{record.levelname:<7} {record.name}: {record.getMessage()}"
        style = {logging.WARNING: YELLOW, logging.ERROR: RED, logging.CRITICAL: BOLD}
        if record.levelno in style:
            text = paint(text, style[record.levelno], self._stream)
        beside = "  ".join(f"{key}={value}" for key, value in fields(record).items())
        lines = [f"{paint(time, DIM, self._stream)} {text}" + (f"  {beside}" if beside else "")]
        if record.exc_info:
            lines.append(self.formatException(record.exc_info))
        return "\n".join(lines)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: `time`, `level`, `logger`, `message`, the fields, `exception`."""

    def format(self, record: logging.LogRecord) -> str:
        """Put one record into one line."""
        members = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **fields(record),
        }
        if record.exc_info:
            members["exception"] = self.formatException(record.exc_info)
        return json.dumps(members, ensure_ascii=False, default=str)
