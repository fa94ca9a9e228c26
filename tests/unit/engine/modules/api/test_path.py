"""What a path pattern means and what is refused."""

from __future__ import annotations

import pytest

from engine.core.errors import TriggerRegistrationFailed
from engine.modules.api.path import MAX_SEGMENTS, PathPattern


@pytest.mark.parametrize(
    ("text", "segments", "names"),
    [
        ("users/:id", ("users", None), ("id",)),
        ("/users/:id", ("users", None), ("id",)),
        ("", ("",), ()),
        ("/", ("",), ()),
        ("//a", ("", "a"), ()),
        ("a/", ("a", ""), ()),
        ("a//b", ("a", "", "b"), ()),
        (":id.json", (None,), ("id.json",)),
        ("odd/v:ver", ("odd", "v:ver"), ()),
        ("users/{id}", ("users", None), ("id",)),
        ("v{id}", ("v{id}",), ()),
        (":a/:a", (None, None), ("a", "a")),
        ("two words/grüße", ("two words", "grüße"), ()),
        ("two%20words", ("two words",), ()),
    ],
)
def test_a_pattern_is_literals_and_parameters(
    text: str, segments: tuple[str | None, ...], names: tuple[str, ...]
) -> None:
    assert PathPattern.parse(text) == PathPattern(text, segments, names)


@pytest.mark.parametrize(
    ("text", "segment"),
    [
        ("files/*rest", "'*rest'"),
        ("*", "'*'"),
        ("files/{*rest}", "'{*rest}'"),
        ("a/:/b", "':'"),
        ("a/{}", "'{}'"),
    ],
)
def test_a_bad_segment_is_refused_by_name(text: str, segment: str) -> None:
    with pytest.raises(TriggerRegistrationFailed) as refusal:
        PathPattern.parse(text)

    assert f"bad segment {segment}" in refusal.value.message
    assert repr(text) in refusal.value.message


def test_a_path_deeper_than_the_limit_is_refused() -> None:
    with pytest.raises(TriggerRegistrationFailed, match="segments"):
        PathPattern.parse("/".join("a" * (MAX_SEGMENTS + 1)))
