"""Dates as text and as int64 milliseconds since 1970-01-01T00:00Z: formats, time zones, date math, rounding.

A format is a Java-style pattern (`yyyy/MM/dd HH:mm:ss`), a name that OpenSearch knows
(`strict_date_optional_time`), `epoch_millis`, `epoch_second`, or several of them joined by `||`, tried from
left to right. Years run from 0001 to 9999 in text; epoch numbers may be any int64. Every function raises
ValueError with what was expected.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np

from quidditch.types import I64s

DEFAULT_FORMATS = "strict_date_optional_time||epoch_millis"
ISO_OUTPUT = "yyyy-MM-dd'T'HH:mm:ss.SSSX"
FORMAT_LENGTH_LIMIT = 512

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_INT64 = range(-(2**63), 2**63)

_OPTIONAL_TIME = "yyyy[-MM[-dd['T'[HH[:mm[:ss[.SSS][,SSS]]][VV]]]]]"
_STRICT = {
    "date_optional_time": _OPTIONAL_TIME,
    "date": "yyyy-MM-dd",
    "date_hour": "yyyy-MM-dd'T'HH",
    "date_hour_minute": "yyyy-MM-dd'T'HH:mm",
    "date_hour_minute_second": "yyyy-MM-dd'T'HH:mm:ss",
    "date_hour_minute_second_millis": "yyyy-MM-dd'T'HH:mm:ss.SSS",
    "date_hour_minute_second_fraction": "yyyy-MM-dd'T'HH:mm:ss.SSS",
    "date_time": "yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
    "date_time_no_millis": "yyyy-MM-dd'T'HH:mm:ssXXX",
    "year": "yyyy",
    "year_month": "yyyy-MM",
    "year_month_day": "yyyy-MM-dd",
}
"""Names that exist as `strict_date` (all digits there) and as `date` (leading zeros may be missing)."""

_NAMED = {
    **{f"strict_{name}": pattern for name, pattern in _STRICT.items()},
    **{name: re.sub(r"yyyy|MM|dd|HH|mm|ss", lambda run: run[0][0], text) for name, text in _STRICT.items()},
    "strict_date_optional_time_nanos": _OPTIONAL_TIME,
    "iso8601": _OPTIONAL_TIME,
    "basic_date": "yyyyMMdd",
    "basic_date_time": "yyyyMMdd'T'HHmmss.SSSX",
    "basic_date_time_no_millis": "yyyyMMdd'T'HHmmssX",
}
_ISO_LIKE = frozenset(
    {"strict_date_optional_time", "date_optional_time", "strict_date_optional_time_nanos", "iso8601"}
)
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

_OFFSET = r"Z|[+-]\d{2}(?::?\d{2})?"
_ZONE_NAME = r"[A-Za-z][A-Za-z0-9_+\-]*(?:/[A-Za-z0-9_+\-]+)*"
_OFFSET_TEXT = re.compile(r"([+-])(\d{2})(?::?(\d{2}))?", re.ASCII)


def parse_date(value: str | int, formats: str = DEFAULT_FORMATS) -> int:
    """Milliseconds since the epoch; an int counts as its digits (2020 is a year)."""
    return _parse(str(value), formats, round_up=False, zone=UTC)


def parse_dates(texts: Sequence[str], formats: str = DEFAULT_FORMATS) -> I64s:
    """`parse_date` of each text; ISO shapes (`2020-01-31T10:00:00.000Z`, ...) go as array code."""
    if formats.split("||", 1)[0] in _ISO_LIKE:
        millis = _parse_iso_arrays(texts)
        if millis is not None:
            return millis
    known: dict[str, int] = {}
    for text in texts:
        if text not in known:
            known[text] = parse_date(text, formats)
    return np.fromiter(map(known.__getitem__, texts), dtype=np.int64, count=len(texts))


def parse_date_bound(
    value: str | int,
    formats: str = DEFAULT_FORMATS,
    *,
    round_up: bool,
    now_ms: int,
    time_zone: str | None = None,
) -> int:
    """One end of a range: `now-1d/d`, `2020-01-01||+1M/d` or a plain date.

    `round_up` gives the last millisecond of what was written (`2020` is 2020-12-31T23:59:59.999, `/d` ends
    the day), as `gt` and `lte` need; otherwise the first one, for `gte` and `lt`. `time_zone` is where dates
    without an offset are read, and where rounding happens.
    """
    zone = UTC if time_zone is None else parse_zone(time_zone)
    text = str(value)
    if text.startswith("now"):
        anchor_ms, math = now_ms, text[3:]
    elif "||" in text:
        head, math = text.split("||", 1)
        anchor_ms = _parse(head, formats, round_up=round_up and not math, zone=zone)
    else:
        return _parse(text, formats, round_up=round_up, zone=zone)
    return _apply_math(anchor_ms, math, round_up, zone) if math else anchor_ms


def check_formats(formats: object) -> None:
    """Raise ValueError when any of the `||` alternatives is no pattern."""
    if not isinstance(formats, str) or not formats:
        raise ValueError(f"a date format such as {DEFAULT_FORMATS!r} expected, not {formats!r}")
    if len(formats) > FORMAT_LENGTH_LIMIT:
        raise ValueError(f"date format of {len(formats)} characters; the limit is {FORMAT_LENGTH_LIMIT}")
    _alternatives(formats)


def format_date(millis: int, format: str = ISO_OUTPUT) -> str:
    """The instant as text in UTC, by the first of the format's alternatives."""
    first = format.split("||", 1)[0]
    if first == "epoch_millis":
        return str(millis)
    if first == "epoch_second":
        return str(millis // 1000)
    try:
        moment = _EPOCH + timedelta(milliseconds=millis)
    except OverflowError:
        return f"{np.datetime64(millis, 'ms')}Z"
    named = first in _NAMED
    pattern = ISO_OUTPUT if first in _ISO_LIKE else _NAMED.get(first, first)
    return "".join(_print_token(token, moment, named) for token in _tokens(pattern))


def datetime_to_millis(value: datetime | date, zone: tzinfo = UTC) -> int:
    """Milliseconds of a datetime (without zone: read in `zone`) or of a date's first instant."""
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    if value.tzinfo is None:
        value = value.replace(tzinfo=zone)
    return (value - _EPOCH) // timedelta(milliseconds=1)


@lru_cache(maxsize=512)
def parse_zone(text: str) -> tzinfo:
    """The time zone of `Z`, `+01:00`, `+0100`, `+01`, `UTC` or a name such as `Europe/Berlin`."""
    if text in ("Z", "UTC", "GMT"):
        return UTC
    if found := _OFFSET_TEXT.fullmatch(text):
        minutes = int(found[2]) * 60 + int(found[3] or 0)
        if int(found[2]) <= 18 and int(found[3] or 0) < 60:
            return timezone(timedelta(minutes=-minutes if found[1] == "-" else minutes))
    elif re.fullmatch(_ZONE_NAME, text):
        try:
            return ZoneInfo(text)
        except (KeyError, ValueError, OSError):
            pass
    raise ValueError(f"time zone {text!r} is unknown; an offset such as '+01:00' or a name expected")


# ---------------------------------------------------------------------------------------------- patterns


@dataclass(frozen=True, slots=True)
class _Pattern:
    """One alternative: a regular expression whose groups are, in order, the components in `letters`."""

    regex: re.Pattern[str]
    letters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Parts:
    """What a text said; None is a component that was not written."""

    year: int | None = None
    month: int | None = None
    day: int | None = None
    hour: int | None = None
    minute: int | None = None
    second: int | None = None
    millis: int | None = None
    zone: tzinfo | None = None


def _tokens(pattern: str) -> list[str]:
    """Runs of one letter, quoted text (with its opening quote), brackets, and single other characters."""
    return [found[0] for found in re.finditer(r"([A-Za-z])\1*|'(?:[^']|'')*'|.", pattern, re.S)]


def _token_regex(token: str, named: bool) -> str:
    letter, count = token[0], len(token)
    if letter in "yu":
        return {4: r"(\d{4})", 2: r"(\d{2})"}.get(count, r"(\d{1,4})")
    if letter == "M" and count >= 3:
        return "((?i:" + "|".join(name[:3] if count == 3 else name for name in _MONTHS) + "))"
    if letter in "MdHhms":
        return r"(\d{1,2})" if count == 1 else r"(\d{2})"
    if letter == "S":
        return r"(\d{1,9})" if named else rf"(\d{{{count}}})"
    if letter == "a":
        return "((?i:AM|PM))"
    if letter in "Ee":
        return "((?i:" + "|".join(name[:3] if count <= 3 else name for name in _DAYS) + "))"
    if letter in "XxZ":
        return f"({_OFFSET})"
    if letter in "VzO":
        return f"({_OFFSET}|{_ZONE_NAME})"
    raise ValueError(f"letter {letter!r} is not supported in a date pattern")


def _compile(pattern: str) -> _Pattern:
    named = pattern in _NAMED
    parts: list[str] = []
    letters: list[str] = []
    for token in _tokens(_NAMED.get(pattern, pattern)):
        if token[0].isalpha():
            parts.append(_token_regex(token, named))
            letters.append("yy" if token in ("yy", "uu") else token[0])
        elif token == "[":
            parts.append("(?:")
        elif token == "]":
            parts.append(")?")
        elif token[0] == "'" and len(token) > 1:
            parts.append(re.escape(token[1:-1].replace("''", "'") or "'"))
        else:
            parts.append(re.escape(token))
    if not letters:
        raise ValueError("no date component in it")
    return _Pattern(re.compile("".join(parts), re.ASCII), tuple(letters))


@lru_cache(maxsize=512)
def _alternatives(formats: str) -> tuple[_Pattern | str, ...]:
    found: list[_Pattern | str] = []
    for name in formats.split("||"):
        if name in ("epoch_millis", "epoch_second"):
            found.append(name)
            continue
        try:
            found.append(_compile(name))
        except (ValueError, re.error) as error:
            raise ValueError(f"date format {name!r} is not understood: {error}") from None
    return tuple(found)


def _print_token(token: str, moment: datetime, named: bool) -> str:
    letter, count = token[0], len(token)
    if letter in "yu":
        return f"{moment.year % 100:02}" if count == 2 else f"{moment.year:04}"
    if letter == "M" and count >= 3:
        return _MONTHS[moment.month - 1][: 3 if count == 3 else None]
    if letter in "Ee":
        return _DAYS[moment.weekday()][: 3 if count <= 3 else None]
    if letter == "S":
        return f"{moment.microsecond // 1000:03}000000"[: 3 if named else count]
    if letter == "a":
        return "AM" if moment.hour < 12 else "PM"
    if letter in "XVzO":
        return "Z"
    if letter in "xZ":
        return "+0000"
    numbers = {"M": moment.month, "d": moment.day, "H": moment.hour, "h": (moment.hour - 1) % 12 + 1}
    numbers |= {"m": moment.minute, "s": moment.second}
    if letter in numbers:
        return f"{numbers[letter]:0{2 if named else min(count, 2)}}"
    if letter == "'" and count > 1:
        return token[1:-1].replace("''", "'") or "'"
    return "" if token in "[]" else token


# ----------------------------------------------------------------------------------------------- parsing


def _parse(text: str, formats: str, *, round_up: bool, zone: tzinfo) -> int:
    reason = ""
    for alternative in _alternatives(formats):
        try:
            if isinstance(alternative, str):
                millis = _parse_epoch(text, 1 if alternative == "epoch_millis" else 1000)
                if millis is not None:
                    return millis
            elif found := alternative.regex.fullmatch(text):
                return _to_millis(_read(found.groups(), alternative.letters), round_up, zone)
        except (ValueError, OverflowError) as error:
            reason = reason or f": {error}"
    raise ValueError(f"a date in format {formats!r} expected, not {_shorten(text)}{reason}")


def _parse_epoch(text: str, unit_ms: int) -> int | None:
    found = re.fullmatch(r"(-?\d{1,19})(?:\.(\d{1,9}))?", text, re.ASCII)
    if not found:
        return None
    fraction = int((found[2] or "0").ljust(9, "0")) * unit_ms // 10**9
    millis = int(found[1]) * unit_ms + (-fraction if text[0] == "-" else fraction)
    if millis not in _INT64:
        raise ValueError("beyond 64 bits of milliseconds")
    return millis


def _read(groups: tuple[str | None, ...], letters: tuple[str, ...]) -> _Parts:
    texts = {letter: text for letter, text in zip(letters, groups, strict=True) if text is not None}
    year = texts.get("y", texts.get("u"))
    month = texts.get("M")
    fraction = texts.get("S")
    hour = _number(texts.get("H"))
    if "h" in texts:
        if not 1 <= int(texts["h"]) <= 12:
            raise ValueError(f"hour {texts['h']} of a 12-hour clock")
        hour = int(texts["h"]) % 12 + (12 if texts.get("a", "AM").upper() == "PM" else 0)
    zone = next((texts[letter] for letter in "XxZVzO" if letter in texts), None)
    return _Parts(
        year=2000 + int(texts["yy"]) if "yy" in texts else _number(year),
        month=_month(month) if month else None,
        day=_number(texts.get("d")),
        hour=hour,
        minute=_number(texts.get("m")),
        second=_number(texts.get("s")),
        millis=int(fraction.ljust(3, "0")[:3]) if fraction else None,
        zone=parse_zone(zone) if zone else None,
    )


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)


def _month(text: str) -> int:
    if text.isdecimal():
        return int(text)
    return [name[:3] for name in _MONTHS].index(text[:3].capitalize()) + 1


def _to_millis(parts: _Parts, round_up: bool, zone: tzinfo) -> int:
    """Fill what was not written: coarser than the finest component from 1970-01-01, finer by `round_up`."""
    written = (parts.year, parts.month, parts.day, parts.hour, parts.minute, parts.second, parts.millis)
    finest = max((place for place, value in enumerate(written) if value is not None), default=0)
    lowest = (1970, 1, 1, 0, 0, 0, 0)
    filled = [low if value is None else value for value, low in zip(written, lowest, strict=True)]
    if round_up:
        highest = [9999, 12, 0, 23, 59, 59, 999]
        filled[finest + 1 :] = highest[finest + 1 :]
    year, month, day, hour, minute, second, millis = filled
    if not 1 <= year <= 9999 or not 1 <= month <= 12:
        raise ValueError(f"year {year}, month {month}")
    day = day or calendar.monthrange(year, month)[1]
    moment = datetime(year, month, day, hour, minute, second)
    offset = (zone if parts.zone is None else parts.zone).utcoffset(moment) or timedelta()
    days = moment.toordinal() - _EPOCH_ORDINAL
    local_ms = ((days * 24 + hour) * 60 + minute) * 60_000 + second * 1000 + millis
    return local_ms - offset // timedelta(milliseconds=1)


def _shorten(text: str) -> str:
    return repr(text if len(text) <= 64 else text[:61] + "...")


# -------------------------------------------------------------------------------------------- date math

_STEP = re.compile(r"([+-])(\d{0,9})([yMwdhHms])|/1?([yMwdhHms])", re.ASCII)
_SPANS = {"h": "hours", "H": "hours", "m": "minutes", "s": "seconds", "w": "weeks", "d": "days"}


def _apply_math(anchor_ms: int, math: str, round_up: bool, zone: tzinfo) -> int:
    try:
        moment = (_EPOCH + timedelta(milliseconds=anchor_ms)).astimezone(zone)
        place = 0
        while place < len(math):
            step = _STEP.match(math, place)
            if step is None:
                raise ValueError(f"{math[place:]!r}; steps such as +1d, -2M or /y expected")
            place = step.end()
            if step[4]:
                moment = _round(moment, step[4], round_up)
            else:
                moment = _shift(moment, int(step[1] + (step[2] or "1")), step[3])
        return datetime_to_millis(moment)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"date math {_shorten(math)} is not valid: {error}") from None


def _shift(moment: datetime, count: int, unit: str) -> datetime:
    """Hours and below move along the time line; days and above move the calendar and keep the wall clock."""
    if unit in "yM":
        months = moment.year * 12 + moment.month - 1 + count * (12 if unit == "y" else 1)
        year, month = divmod(months, 12)
        if not 1 <= year <= 9999:
            raise ValueError(f"year {year}")
        day = min(moment.day, calendar.monthrange(year, month + 1)[1])
        return moment.replace(year=year, month=month + 1, day=day)
    span = timedelta(**{_SPANS[unit]: count})
    if unit in "wd":
        return moment + span
    return (moment.astimezone(UTC) + span).astimezone(moment.tzinfo)


def _round(moment: datetime, unit: str, round_up: bool) -> datetime:
    """The unit's first instant, or its last millisecond; weeks start on Monday."""
    floor = moment.replace(microsecond=0)
    if unit in "yMwdhHm":
        floor = floor.replace(second=0)
    if unit in "yMwdhH":
        floor = floor.replace(minute=0)
    if unit in "yMwd":
        floor = floor.replace(hour=0)
    if unit == "w":
        floor -= timedelta(days=floor.weekday())
    if unit in "yM":
        floor = floor.replace(day=1)
    if unit == "y":
        floor = floor.replace(month=1)
    return _shift(floor, 1, unit) - timedelta(milliseconds=1) if round_up else floor


# ----------------------------------------------------------------------------------- lists of ISO dates

_DATE_TIME = "0000-00-00T00:00:00"
_SHAPES = {
    len(shape): shape
    for shape in (
        "0000-00-00",
        *(
            _DATE_TIME + fraction + zone
            for fraction in ("", ".000", ".000000")
            for zone in ("", "Z", "+00:00")
        ),
    )
}
"""Text length -> shape, `0` for a digit and `+` for a sign; every other character stands for itself."""


def _parse_iso_arrays(texts: Sequence[str]) -> I64s | None:
    """Milliseconds of texts that all have one of the shapes above; None when any has not, or is no date."""
    joined = "".join(texts)
    if not joined or not joined.isascii():
        return None
    letters = np.frombuffer(joined.encode("ascii"), dtype=np.uint8)
    lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    starts = np.cumsum(lengths) - lengths
    millis = np.empty(len(texts), dtype=np.int64)
    for length in np.unique(lengths).tolist():
        shape = _SHAPES.get(length)
        if shape is None:
            return None
        rows = np.flatnonzero(lengths == length)
        found = _parse_shape(letters[starts[rows, None] + np.arange(length)], shape)
        if found is None:
            return None
        millis[rows] = found
    return millis


def _parse_shape(letters: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], shape: str) -> I64s | None:
    """letters: uint8[n, len(shape)]"""
    want = np.frombuffer(shape.encode("ascii"), dtype=np.uint8)
    digits = letters - np.uint8(48)  # wraps below '0', so one comparison tells a digit
    literal = np.isin(want, (ord("0"), ord("+")), invert=True)
    if (digits[:, want == ord("0")] > 9).any() or (letters[:, literal] != want[literal]).any():
        return None

    def number(start: int, stop: int) -> I64s:
        value = digits[:, start].astype(np.int64)
        for place in range(start + 1, stop):
            value = value * 10 + digits[:, place]
        return value

    days = _days(number(0, 4), number(5, 7), number(8, 10))
    if days is None or len(shape) == 10:
        return None if days is None else days * 86_400_000
    hour, minute, second = number(11, 13), number(14, 16), number(17, 19)
    if (hour > 23).any() or (minute > 59).any() or (second > 59).any():
        return None
    millis = ((days * 24 + hour) * 60 + minute) * 60_000 + second * 1000
    if "." in shape:
        millis += number(20, 23)
    if shape.endswith("+00:00"):
        end = len(shape)
        sign, hours, minutes = letters[:, -6], number(end - 5, end - 3), number(end - 2, end)
        if not np.isin(sign, (ord("+"), ord("-"))).all() or (hours > 18).any() or (minutes > 59).any():
            return None
        millis -= np.where(sign == ord("-"), -1, 1) * (hours * 60 + minutes) * 60_000
    return millis


def _days(year: I64s, month: I64s, day: I64s) -> I64s | None:
    """Days since 1970-01-01 of proleptic Gregorian dates; None when one is no date."""
    if (year < 1).any() or (month < 1).any() or (month > 12).any() or (day < 1).any():
        return None
    first = ((year - 1970) * 12 + month - 1).astype("datetime64[M]")
    after = (first + np.timedelta64(1, "M")).astype("datetime64[D]").astype(np.int64)
    days: I64s = first.astype("datetime64[D]").astype(np.int64) + day - 1
    return None if (days >= after).any() else days
