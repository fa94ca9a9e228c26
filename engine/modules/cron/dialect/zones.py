"""Time zones by their names in the IANA database."""

from __future__ import annotations

from functools import cache
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from engine.core.errors import EngineError
from engine.core.modules import nearest
from engine.modules.cron.dialect.field_parsing import shown

# Not one zone: the machine's own, another one on the next node, and a mark for "not set".
_NOT_NAMES: Final = frozenset({"localtime", "Factory"})


class UnknownZone(EngineError):
    """There is no time zone of this name; the message has the nearest one."""

    code = "unknown_zone"


def find_zone(name: str) -> ZoneInfo:
    """Return the time zone of a name such as `Europe/Berlin` or `UTC`; upper case counts.

    Raises:
        UnknownZone: there is none.
    """
    if name == "UTC":  # the default of all schedules: the database need not be listed
        return ZoneInfo(name)
    known = zone_names()
    if name in known:
        return ZoneInfo(name)
    near = nearest(name, known)
    hint = f"; did you mean `{near}`?" if near else ", for example `UTC` or `Europe/Berlin`"
    raise UnknownZone(f"timezone: {shown(name)} is unknown; write an IANA name{hint}")


@cache
def zone_names() -> frozenset[str]:
    """Return the names of all time zones."""
    # A list, since `ZoneInfo` opens what it is given as a path: `America` is a directory there.
    return frozenset(available_timezones() - _NOT_NAMES)
