"""The JSON payloads that calls carry, written compactly, so that a re-serialised copy is equal."""

from __future__ import annotations

from typing import Literal

import msgspec
import orjson

Kind = Literal["text", "string", "objects"]


class Payload(msgspec.Struct, frozen=True):
    """Kind and size in bytes of the JSON text.

    `text` is a small object with one string, `string` a bare string, `objects` a list of nested
    records, which costs a parser what real data costs.
    """

    kind: Kind
    size: int

    def build(self) -> bytes:
        """Write the JSON text; `objects` ends within one record of the size."""
        if self.kind == "text":
            return b'{"text":"' + b"x" * (self.size - len(b'{"text":""}')) + b'"}'
        if self.kind == "string":
            return b'"' + b"x" * (self.size - 2) + b'"'
        return _objects(self.size)


def _objects(size: int) -> bytes:
    """Write an object holding as many order records as fit into `size` bytes."""
    records: list[bytes] = []
    length = len(b'{"orders":[]}')
    number = 0
    while True:
        record = orjson.dumps(_order(number))
        if length + len(record) + 1 > size:
            return b'{"orders":[' + b",".join(records) + b"]}"
        records.append(record)
        length += len(record) + 1
        number += 1


def _order(number: int) -> dict[str, object]:
    """Build one order of a shop, as workers send them: nested, with every JSON type."""
    return {
        "id": number,
        "paid": number % 2 == 0,
        "note": None,
        "customer": {
            "name": f"Customer {number}",
            "address": {"street": f"Street {number}", "zip": "10115", "city": "Berlin"},
        },
        "lines": [
            {"sku": f"sku-{number}-{line}", "count": line + 1, "price": number + line + 0.25}
            for line in range(3)
        ],
        "tags": ["new", "web", f"t{number % 7}"],
    }
