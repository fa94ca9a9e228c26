"""Names of time zones."""

from __future__ import annotations

import pytest

from engine.modules.cron.dialect.zones import UnknownZone, find_zone


@pytest.mark.parametrize("name", ["UTC", "Europe/Berlin", "America/Argentina/Ushuaia", "Etc/GMT+3"])
def test_a_zone_is_found_by_its_name(name: str) -> None:
    assert find_zone(name).key == name


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("europe/berlin", "; did you mean `Europe/Berlin`?"),
        ("Europe/Berln", "; did you mean `Europe/Berlin`?"),
        ("America/NewYork", "; did you mean `America/New_York`?"),
        ("right/UTC", "; did you mean `Etc/UTC`?"),
        ("localtime", ", for example `UTC` or `Europe/Berlin`"),
        ("../etc/passwd", ", for example `UTC` or `Europe/Berlin`"),
        ("/etc/localtime", ", for example `UTC` or `Europe/Berlin`"),
        ("", ", for example `UTC` or `Europe/Berlin`"),
        ("+02:00", ", for example `UTC` or `Europe/Berlin`"),
        ("\0\udc80", ", for example `UTC` or `Europe/Berlin`"),
    ],
)
def test_an_unknown_zone_is_refused_with_the_nearest_name(name: str, hint: str) -> None:
    with pytest.raises(UnknownZone) as caught:
        find_zone(name)
    assert str(caught.value) == f"timezone: `{name}` is unknown; write an IANA name{hint}"
    assert caught.value.code == "unknown_zone"


def test_a_directory_of_zones_is_no_zone() -> None:
    with pytest.raises(UnknownZone, match="timezone: `America` is unknown"):
        find_zone("America")
