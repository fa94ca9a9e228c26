"""What a list shows of what there is."""

from __future__ import annotations

from django.test import RequestFactory

from console.live.page import MAX_ROWS, Rows, Wanted


def wanted(query: str) -> Wanted:
    return Wanted.of(RequestFactory().get(f"/?{query}"))


def test_the_query_says_what_is_wanted() -> None:
    assert wanted("") == Wanted(search="", with_internal=False)
    assert wanted("q=+Shop+&internal=1") == Wanted(search="Shop", with_internal=True)


def test_a_search_looks_into_every_text_in_any_case() -> None:
    assert wanted("q=SHOP").matches(None, "my-shop::price")
    assert not wanted("q=shop").matches(None, "text", "")
    assert wanted("").matches("anything")


def test_a_list_has_an_end() -> None:
    rows = Rows.of(range(MAX_ROWS + 3))

    assert (len(rows.shown), rows.count, rows.hidden_count) == (MAX_ROWS, MAX_ROWS + 3, 3)
