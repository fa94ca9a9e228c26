"""The Python half of the tour: describes texts, and shouts greetings of the TypeScript worker."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

from iii import InitOptions, register_worker

worker = register_worker(
    os.environ.get("III_URL", "ws://localhost:49134"), InitOptions(worker_name="text")
)


def describe(data: dict[str, Any]) -> dict[str, Any]:
    """Any worker, in any language, can call this function by its id."""
    text = data["text"]
    return {"letters": sum(letter.isalpha() for letter in text), "words": len(text.split())}


def shout(request: dict[str, Any]) -> dict[str, Any]:
    """The TypeScript worker opens POST /shout for this function; `body` is the request's JSON."""
    greeting = worker.trigger({"function_id": "greeter::greet", "payload": request["body"]})
    return {"status_code": 200, "body": {"message": greeting["message"].upper()}}


worker.register_function("text::describe", describe)
worker.register_function("text::shout", shout)

print(
    """text is up: curl -H 'Content-Type: application/json' """
    """-d '{"name": "Ada"}' http://localhost:3111/shout""",
    flush=True,
)

stopped = threading.Event()
signal.signal(signal.SIGINT, lambda *_: stopped.set())
signal.signal(signal.SIGTERM, lambda *_: stopped.set())
stopped.wait()
worker.shutdown()
