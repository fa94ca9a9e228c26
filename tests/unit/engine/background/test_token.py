from __future__ import annotations

from engine.background.token import internal_token, is_internal_token


def test_one_secret_key_makes_one_token_which_does_not_contain_it() -> None:
    token = internal_token("secret")

    assert token == internal_token("secret")
    assert "secret" not in token
    assert is_internal_token(token.encode(), "secret")


def test_the_token_of_another_secret_key_is_wrong() -> None:
    assert not is_internal_token(internal_token("other").encode(), "secret")
    assert not is_internal_token(b"", "secret")
    assert not is_internal_token(b"\xff\xfe", "secret")
