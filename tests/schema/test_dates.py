"""Date formats, time zones, date math and the array road for ISO dates."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quidditch.schema.dates import (
    check_formats,
    datetime_to_millis,
    format_date,
    parse_date,
    parse_date_bound,
    parse_dates,
)

NOW = "2024-03-10T12:34:56.789Z"


@pytest.mark.parametrize(
    ("text", "formats", "iso"),
    [
        ("2020", "strict_date_optional_time", "2020-01-01T00:00:00.000Z"),
        ("2020-02-29", "strict_date_optional_time", "2020-02-29T00:00:00.000Z"),
        ("2020-02-29T10", "strict_date_optional_time", "2020-02-29T10:00:00.000Z"),
        ("2020-02-29T10:11:12.123456789Z", "strict_date_optional_time", "2020-02-29T10:11:12.123Z"),
        ("2020-02-29T10:11:12,5+01:00", "strict_date_optional_time", "2020-02-29T09:11:12.500Z"),
        ("2020-07-01T10:00:00-0530", "strict_date_optional_time", "2020-07-01T15:30:00.000Z"),
        ("2020-07-01T10:00:00Europe/Berlin", "strict_date_optional_time", "2020-07-01T08:00:00.000Z"),
        ("2020-1-5", "date_optional_time", "2020-01-05T00:00:00.000Z"),
        ("0001-01-01", "strict_date_optional_time", "0001-01-01T00:00:00.000Z"),
        ("9999-12-31T23:59:59.999Z", "strict_date_optional_time", "9999-12-31T23:59:59.999Z"),
        ("1577836800000", "strict_date_optional_time||epoch_millis", "2020-01-01T00:00:00.000Z"),
        ("1577836800.5", "epoch_second", "2020-01-01T00:00:00.500Z"),
        ("-1", "epoch_millis", "1969-12-31T23:59:59.999Z"),
        ("20200131", "basic_date", "2020-01-31T00:00:00.000Z"),
        ("2020/01/31 05:06:07", "yyyy/MM/dd HH:mm:ss||yyyy/MM/dd", "2020-01-31T05:06:07.000Z"),
        ("2020/01/31", "yyyy/MM/dd HH:mm:ss||yyyy/MM/dd", "2020-01-31T00:00:00.000Z"),
        ("20/03/2021", "MM/dd/yyyy||dd/MM/yyyy", "2021-03-20T00:00:00.000Z"),
        ("20/03/21 12:06 AM", "dd/MM/yy hh:mm a", "2021-03-20T00:06:00.000Z"),
        ("Thu, 02 Jan 2020 10:00:00 +0100", "EEE, dd MMM yyyy HH:mm:ss Z", "2020-01-02T09:00:00.000Z"),
        ("5 o'clock 2020", "H 'o''clock' yyyy", "2020-01-01T05:00:00.000Z"),
    ],
)
def test_formats_read_dates(text: str, formats: str, iso: str) -> None:
    assert format_date(parse_date(text, formats)) == iso


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "2020-13-01",
        "2020-02-30",
        "2020-1-1",
        "2020-01-01 10:00",
        "2020-01-01T25",
        "20200101x",
        "9" * 25,
    ],
)
def test_what_is_no_date_is_refused_with_format_and_value(text: str) -> None:
    with pytest.raises(ValueError, match="strict_date_optional_time") as caught:
        parse_date(text)
    assert repr(text)[:20] in str(caught.value)


@pytest.mark.parametrize("formats", ["", "qq", "yyyy[", "no-such-format", "'only text'", "y" * 600])
def test_bad_formats_are_refused(formats: str) -> None:
    with pytest.raises(ValueError, match="format"):
        check_formats(formats)


@pytest.mark.parametrize(
    ("text", "zone", "low", "high"),
    [
        ("2020", None, "2020-01-01T00:00:00.000Z", "2020-12-31T23:59:59.999Z"),
        ("2020-02", None, "2020-02-01T00:00:00.000Z", "2020-02-29T23:59:59.999Z"),
        ("2020-02-03", "+01:00", "2020-02-02T23:00:00.000Z", "2020-02-03T22:59:59.999Z"),
        ("2020-02-03T04:05Z", "+01:00", "2020-02-03T04:05:00.000Z", "2020-02-03T04:05:59.999Z"),
        ("now", None, NOW, NOW),
        ("now-1d", None, "2024-03-09T12:34:56.789Z", "2024-03-09T12:34:56.789Z"),
        ("now-1d/d", None, "2024-03-09T00:00:00.000Z", "2024-03-09T23:59:59.999Z"),
        ("now/w", None, "2024-03-04T00:00:00.000Z", "2024-03-10T23:59:59.999Z"),
        ("now/M", None, "2024-03-01T00:00:00.000Z", "2024-03-31T23:59:59.999Z"),
        ("now/y", None, "2024-01-01T00:00:00.000Z", "2024-12-31T23:59:59.999Z"),
        ("now+1h/h", None, "2024-03-10T13:00:00.000Z", "2024-03-10T13:59:59.999Z"),
        ("now/m-1s", None, "2024-03-10T12:33:59.000Z", "2024-03-10T12:34:58.999Z"),
        ("2020-01-31||+1M", None, "2020-02-29T00:00:00.000Z", "2020-02-29T00:00:00.000Z"),
        ("2020-01-31||+1M/d", None, "2020-02-29T00:00:00.000Z", "2020-02-29T23:59:59.999Z"),
        ("2020-02-29||-1y", None, "2019-02-28T00:00:00.000Z", "2019-02-28T00:00:00.000Z"),
        ("2020-01-01||", None, "2020-01-01T00:00:00.000Z", "2020-01-01T23:59:59.999Z"),
        # The clocks went forward on 10 March: the day has 23 hours.
        ("now/d", "America/New_York", "2024-03-10T05:00:00.000Z", "2024-03-11T03:59:59.999Z"),
    ],
)
def test_bounds_round_to_the_first_or_last_instant(text: str, zone: str | None, low: str, high: str) -> None:
    now = parse_date(NOW)
    found = [
        format_date(parse_date_bound(text, round_up=round_up, now_ms=now, time_zone=zone))
        for round_up in (False, True)
    ]
    assert found == [low, high]


@pytest.mark.parametrize(
    "text", ["now+", "now/2d", "nowhere", "now-1x", "2020||+1", "now+999999999y", "now d"]
)
def test_bad_date_math_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="date"):
        parse_date_bound(text, round_up=False, now_ms=0)


@pytest.mark.parametrize("zone", ["Mars/Base", "+99:00", "../etc/passwd", "Europe", "\0", ""])
def test_unknown_time_zones_are_refused(zone: str) -> None:
    with pytest.raises(ValueError, match="time zone"):
        parse_date_bound("2020", round_up=False, now_ms=0, time_zone=zone)


def test_naive_datetimes_are_utc() -> None:
    assert datetime_to_millis(datetime(2020, 1, 1)) == 1577836800000
    assert datetime_to_millis(datetime(2020, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))) == 1577836800000
    assert datetime_to_millis(date(2020, 1, 1)) == 1577836800000


INSTANTS = st.integers(datetime_to_millis(datetime.min.replace(tzinfo=UTC)), 253402300799999)
SHAPES = (
    "yyyy-MM-dd",
    "yyyy-MM-dd'T'HH:mm:ss",
    "yyyy-MM-dd'T'HH:mm:ssX",
    "yyyy-MM-dd'T'HH:mm:ss.SSSX",
    "yyyy-MM-dd'T'HH:mm:ss.SSS'+01:30'",
    "yyyy-MM",
    "'x'",
)


@given(INSTANTS)
def test_printed_dates_read_back(millis: int) -> None:
    assert parse_date(format_date(millis)) == millis


@given(st.lists(st.tuples(INSTANTS, st.sampled_from(SHAPES[:-1]))))
def test_lists_give_what_single_dates_give(pairs: list[tuple[int, str]]) -> None:
    texts = [format_date(millis, shape) for millis, shape in pairs]
    assert parse_dates(texts).tolist() == [parse_date(text) for text in texts]


@given(
    st.lists(
        st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)?", fullmatch=True),
        max_size=4,
    )
)
def test_lists_refuse_what_single_dates_refuse(texts: list[str]) -> None:
    def outcome(read: object) -> object:
        try:
            return [parse_date(text) for text in texts] if read == "single" else parse_dates(texts).tolist()
        except ValueError:
            return "refused"

    assert outcome("many") == outcome("single")
