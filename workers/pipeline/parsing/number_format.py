"""A spreadsheet's cell as people see it: 0.256 with the format ``0.0%`` is 25.6%.

Of the format codes of ECMA-376 (part 1, 18.8.31): sections by sign, decimals, grouping, per cent, and text
before and after, which is where currencies stand. Dates are written the ISO way whatever their format, which
depends on the reader's country; fractions and exponents become plain numbers.
"""

import datetime as dt
import re
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from functools import lru_cache
from typing import NamedTuple

GENERAL_DIGITS = 15  # what Excel keeps of a number

_LITERAL = re.compile(r'"([^"]*)"|\\(.)|\[\$([^\]-]*)[^\]]*\]|\[[^\]]*\]|_.|\*.')
_DIGITS = re.compile(r"[#0?][#0?,. ]*")
_SHOWS_TIME = re.compile(r"[hs]", re.IGNORECASE)
_SHOWS_DATE = re.compile(r"[dy]", re.IGNORECASE)


class _Pattern(NamedTuple):
    before: str
    decimals: int
    optional_decimals: int
    is_grouped: bool
    thousands: int  # how many times the number is divided by a thousand
    after: str


def show(value: object, number_format: str) -> str:
    """The cell's text; "" for an empty one. ``value`` is as openpyxl gives it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int | float):
        return show_number(value, number_format)
    if isinstance(value, dt.datetime):
        code = _LITERAL.sub("", number_format)
        if not _SHOWS_TIME.search(code):
            return value.date().isoformat() if _SHOWS_DATE.search(code) else _show_moment(value)
        return _show_moment(value) if _SHOWS_DATE.search(code) else _show_time(value.time())
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, dt.time):
        return _show_time(value)
    if isinstance(value, dt.timedelta):
        return _show_duration(value)
    return str(value)


def show_number(value: float, number_format: str) -> str:
    pattern, carries_sign = _pattern_for(value, number_format or "General")
    if pattern is None:
        return _general(value)
    # By the digits that are shown: in binary 2.675 is less than it, and a half is rounded away from zero.
    number = Decimal(repr(abs(value))) / 1000**pattern.thousands
    if "%" in pattern.before + pattern.after:
        number *= 100
    places = pattern.decimals + pattern.optional_decimals
    try:
        number = number.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
    except InvalidOperation:  # more digits than a number of Excel's has, or none at all
        return _general(value)
    text = f"{number:{',' if pattern.is_grouped else ''}f}"
    for _ in range(pattern.optional_decimals):
        text = text.removesuffix("0")
    text = text.removesuffix(".")
    sign = "-" if value < 0 and carries_sign and text.strip("0.,") else ""
    return f"{sign}{pattern.before}{text}{pattern.after}".strip()


def _pattern_for(value: float, number_format: str) -> tuple[_Pattern | None, bool]:
    """The section for the number's sign, and whether the sign must be shown: a section of its own for
    negative numbers says in its own way that they are."""
    sections = number_format.split(";")
    if value < 0 and len(sections) > 1:
        return _read_section(sections[1]), False
    if value == 0 and len(sections) > 2:
        return _read_section(sections[2]) or _read_section(sections[0]), True
    return _read_section(sections[0]), True


@lru_cache(maxsize=1024)
def _read_section(section: str) -> _Pattern | None:
    """None for what is shown as a plain number: General, fractions, exponents, no digits at all."""
    literals: list[str] = []

    def keep(found: re.Match[str]) -> str:
        literals.append(found.group(1) or found.group(2) or found.group(3) or "")
        return "\x00"

    bare = _LITERAL.sub(keep, section)
    digits = _DIGITS.search(bare)
    if not digits or "General" in bare or "E" in bare.upper() or "/" in bare or "@" in bare:
        return None
    body = digits.group().rstrip()
    whole, _, decimals = body.rstrip(",").partition(".")
    kept = iter(literals)
    before, after = (
        "".join(next(kept) if char == "\x00" else char for char in part)
        for part in (bare[: digits.start()], bare[digits.end() - len(digits.group()) + len(body) :])
    )
    return _Pattern(
        before=before,
        decimals=decimals.count("0"),
        optional_decimals=decimals.count("#") + decimals.count("?"),
        is_grouped="," in whole,
        thousands=len(body) - len(body.rstrip(",")),
        after=after,
    )


def _general(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    text = f"{value:.{GENERAL_DIGITS}g}"
    if "e" in text and 1e-10 < abs(value) < 1e21:
        text = f"{value:.0f}" if abs(value) >= 1 else f"{value:.{GENERAL_DIGITS}f}".rstrip("0")
    return text


def _show_moment(value: dt.datetime) -> str:
    return (
        value.date().isoformat()
        if value.time() == dt.time()
        else f"{value.date()} {_show_time(value.time())}"
    )


def _show_time(value: dt.time) -> str:
    return value.isoformat("seconds" if value.second else "minutes")


def _show_duration(value: dt.timedelta) -> str:
    minutes, seconds = divmod(round(abs(value.total_seconds())), 60)
    hours, minutes = divmod(minutes, 60)
    sign = "-" if value < dt.timedelta() else ""
    return f"{sign}{hours}:{minutes:02}" + (f":{seconds:02}" if seconds else "")
