"""Which cross-origin headers an answer carries."""

from __future__ import annotations

import pytest

from engine.modules.api.config import CorsConfig
from engine.modules.api.cors import Cors, joined

VARY = (b"vary", b"origin, access-control-request-method, access-control-request-headers")
ANY = (b"access-control-allow-origin", b"*")


def test_without_a_config_everything_is_permitted() -> None:
    cors = Cors(None)

    assert cors.headers("http://a") == [VARY, ANY, (b"access-control-expose-headers", b"*")]
    assert cors.preflight() == [
        (b"access-control-allow-methods", b"*"),
        (b"access-control-allow-headers", b"*"),
    ]


@pytest.mark.parametrize("origins", [(), ("*",), ("http://a", "*")])
def test_any_origin_may_call_where_none_is_named(origins: tuple[str, ...]) -> None:
    assert Cors(CorsConfig(allowed_origins=origins)).headers("http://b") == [VARY, ANY]


def test_a_listed_origin_is_echoed() -> None:
    cors = Cors(CorsConfig(allowed_origins=("http://a", "http://b")))

    assert cors.headers("http://b") == [VARY, (b"access-control-allow-origin", b"http://b")]


@pytest.mark.parametrize("origin", [None, "http://other"])
def test_other_origins_get_no_permission(origin: str | None) -> None:
    assert Cors(CorsConfig(allowed_origins=("http://a",))).headers(origin) == [VARY]


@pytest.mark.parametrize("origin", [None, "http://a", "http://other"])
@pytest.mark.parametrize(
    "config", [None, CorsConfig(), CorsConfig(allowed_origins=("http://a", "http://b"))]
)
def test_the_lines_say_the_same_as_the_headers(
    config: CorsConfig | None, origin: str | None
) -> None:
    cors = Cors(config)

    lines = [b"%b: %b\r\n" % header for header in cors.headers(origin)]

    assert cors.lines(origin) == b"".join(lines)


@pytest.mark.parametrize(
    ("methods", "header"),
    [((), b"*"), (("*", "GET"), b"*"), (("get", "POST"), b"GET,POST")],
)
def test_preflights_name_the_methods(methods: tuple[str, ...], header: bytes) -> None:
    preflight = Cors(CorsConfig(allowed_methods=methods)).preflight()

    assert dict(preflight)[b"access-control-allow-methods"] == header


def test_the_engines_headers_replace_those_of_a_function() -> None:
    own = [(b"access-control-allow-origin", b"http://x"), (b"vary", b"accept"), (b"x-a", b"1")]

    assert joined(own, [VARY, ANY]) == [(b"vary", b"accept"), (b"x-a", b"1"), VARY, ANY]


def test_a_functions_other_cors_headers_stay() -> None:
    own = [(b"access-control-max-age", b"60")]

    assert joined(own, [VARY, ANY]) == [*own, VARY, ANY]
