"""Sidereal days: the natural unit of a drift scan, in which the sky passes once.

A day begins when right ascension 0 of date crosses the meridian, and its key is the
UTC date of that moment.  Once a year two days begin on one date; the second one's
key ends with ``b``.  Sidereal time is the mean one with UT1 = UTC: the border
between days is a convention, and half a second of it changes nothing.

Belongs here: keys of days, and which day a time is in.  Does not belong here: where
things are on the sky (``phasing.py``).
"""

import math
import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from contimg_assets.radio.group_key import KEY_FORMAT, key_time

#: Greenwich mean sidereal time at J2000.0 (2000-01-01 12:00), turns, and turns a day of UT1 (IAU 1982).
_AT_J2000, _TURNS = 280.46061837 / 360, 1.00273790935
_J2000 = datetime(2000, 1, 1, 12, tzinfo=UTC)
_MJD_J2000 = 51544.5
_KEY = re.compile(r"\d{4}-\d{2}-\d{2}b?")


@lru_cache(maxsize=1)
def _longitude_turns() -> float:
    # With the constants come arrays, for which commands that only look do not wait.
    from contimg_assets.radio.telescope import SITE_LONGITUDE_RAD

    return SITE_LONGITUDE_RAD / math.tau


def _number(at: datetime) -> int:
    """Sidereal days since any one."""
    days = (at - _J2000) / timedelta(days=1)
    return math.floor(days * _TURNS + _AT_J2000 + _longitude_turns())


def _start(number: int) -> datetime:
    days = (number - _AT_J2000 - _longitude_turns()) / _TURNS
    return _J2000 + timedelta(days=days)


def _key(number: int) -> str:
    date = _start(number).date()
    return f"{date}b" if _start(number - 1).date() == date else str(date)


def sidereal_time_deg(mjd: float) -> float:
    """Local mean sidereal time at a modified Julian date, deg in [0, 360)."""
    turns = (mjd - _MJD_J2000) * _TURNS + _AT_J2000 + _longitude_turns()
    return 360.0 * (turns % 1.0)


def day_of(at: datetime) -> str:
    """Key of the sidereal day that a time (UTC) is in."""
    return _key(_number(at))


def day_of_group(group: str) -> str:
    """Key of the sidereal day in which a group began."""
    return day_of(key_time(group))


def span(day: str) -> tuple[datetime, datetime]:
    """Begin and end of a sidereal day, UTC.

    Raises
    ------
    ValueError
        If it is the key of no day.
    """
    if _KEY.fullmatch(day):
        first = _number(datetime.strptime(day[:10], "%Y-%m-%d").replace(tzinfo=UTC))
        for number in range(first, first + 3):
            if _key(number) == day:
                return _start(number), _start(number + 1)
    raise ValueError(f"found {day!r}; expected a sidereal day, such as 2026-01-15")


def group_keys(day: str) -> tuple[str, str]:
    """Keys of groups that began in a day are from the first of these on, and before the second."""
    begin, end = span(day)
    # A key has whole seconds: the group of the second in which the day begins is of the day before.
    return tuple((at + timedelta(seconds=1)).strftime(KEY_FORMAT) for at in (begin, end))  # type: ignore[return-value]
