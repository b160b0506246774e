"""Excel and CSV: rows that can be understood one by one, numbers as people see them."""

import datetime as dt

import pytest

from apps.knowledge import media_types
from tests.fixtures import documents, office
from tests.workers.pipeline.parsing.conftest import Parse, blocks_of, text_of
from workers.pipeline.errors import Damaged, LimitExceeded, NoText
from workers.pipeline.parsing.blocks import BlockKind, ParsedPage
from workers.pipeline.parsing.number_format import show

pytestmark = pytest.mark.once


def lines(pages: list[ParsedPage]) -> list[str]:
    return [block.text for block in blocks_of(pages)]


def test_workbook_gives_each_row_its_header_and_each_sheet_its_title(parse: Parse) -> None:
    pages = parse(office.workbook(comment="As of May"), media_types.XLSX)
    title, *rows = blocks_of(pages)
    assert (title.kind, title.level, title.text) == (BlockKind.TITLE, 1, "Bridges")
    assert [row.text for row in rows] == [
        "Town: Amberford; Opened: 1897-05-03; Length: 120.0; Share: 25.6%; Cost: 1,234.50 EUR",
        "Town: Bonn; Opened: 1949-11-12; Length: 394.3; Share: 50.0%; Cost: -2,000,000.00 EUR",
        "Comment on A1: As of May",
    ]
    assert {row.kind for row in rows[:2]} == {BlockKind.TABLE}


def test_second_table_of_a_sheet_has_its_own_header(parse: Parse) -> None:
    rows = [
        ("Ferries of the lake",), ("Line", "Guests"), ("Red", 40), ("Blue", 12), (),
        ("Harbour", "Depth"), ("North", 7.5), (), ("Surveyed by the port authority",),
    ]  # fmt: skip
    assert lines(parse(office.workbook({"Lake": rows, "Empty": []}), media_types.XLSX)) == [
        "Lake", "Ferries of the lake", "Line: Red; Guests: 40", "Line: Blue; Guests: 12",
        "Harbour: North; Depth: 7.5", "Surveyed by the port authority",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "number_format", "shown"),
    [
        (0.1 + 0.2, "General", "0.3"),
        (1e20, "General", "100000000000000000000"),
        (12, "General", "12"),
        (1234567.891, "#,##0.00", "1,234,567.89"),
        (2.675, "0.00", "2.68"),
        (0.256, "0%", "26%"),
        (-5, '0.00" kg"', "-5.00 kg"),
        (-1599.99, "$#,##0.00;[Red]($#,##0.00)", "($1,599.99)"),
        (9.5, '[$€-407] #,##0.0#', "€ 9.5"),
        (1500000, '0.0,," M"', "1.5 M"),
        (0, '0;-0;"none"', "0"),
        (198356388, "0.00E+00", "198356388"),
        (True, "General", "TRUE"),
        (dt.datetime(2024, 3, 1), "dd.mm.yyyy", "2024-03-01"),
        (dt.datetime(2024, 3, 1, 14, 30), "dd.mm.yyyy", "2024-03-01"),
        (dt.datetime(2024, 3, 1, 14, 30), "dd.mm.yyyy hh:mm", "2024-03-01 14:30"),
        (dt.datetime(2024, 3, 1, 14, 30, 5), "h:mm:ss", "14:30:05"),
        (dt.time(6, 15), "h:mm", "06:15"),
        (dt.timedelta(hours=26, minutes=5), "[h]:mm", "26:05"),
        (None, "General", ""),
    ],
)  # fmt: skip
def test_cell_stands_as_it_is_shown(value: object, number_format: str, shown: str) -> None:
    assert show(value, number_format) == shown


def test_damaged_workbook_says_so(parse: Parse) -> None:
    broken = office.with_part(office.workbook(), "xl/worksheets/sheet1.xml", "<worksheet><sheetData><row")
    with pytest.raises(Damaged):
        parse(broken, media_types.XLSX)


def test_workbook_without_text_is_no_text(parse: Parse) -> None:
    with pytest.raises(NoText):
        parse(office.workbook({"Sheet1": [], "Sheet2": []}), media_types.XLSX)


@pytest.mark.parametrize("part", ["xl/worksheets/sheet1.xml", "xl/workbook.xml", "xl/styles.xml"])
def test_entity_bomb_in_a_workbook_is_refused(parse: Parse, part: str) -> None:
    sheet = (
        f'{office.ENTITY_BOMB}<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
        '<sheetData><row r="1"><c r="A1" t="inlineStr"><is><t>&a9;</t></is></c></row></sheetData></worksheet>'
    )
    with pytest.raises((Damaged, LimitExceeded)):
        parse(office.with_part(office.workbook(), part, sheet), media_types.XLSX, timeout_seconds=20)


def test_sheet_that_lies_about_its_size_is_read(parse: Parse) -> None:
    sheet = (
        '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
        '<dimension ref="A1:XFD1048576"/><sheetData><row r="1"><c r="A1" t="inlineStr"><is><t>Alone</t></is></c>'
        "</row></sheetData></worksheet>"
    )
    content = office.with_part(office.workbook(), "xl/worksheets/sheet1.xml", sheet)
    assert lines(parse(content, media_types.XLSX, timeout_seconds=10)) == ["Bridges", "Alone"]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Name,City\nAnn,Köln\nBen,Bonn\n", "utf-8"),
        ("Name\tCity\nAnn\tKöln\nBen\tBonn", "utf-16"),
        ("sep=|\nName|City\nAnn|Köln\nBen|Bonn\n", "utf-8-sig"),
        ('"Name","City"\r"Ann","Köln"\r"Ben","Bonn"\r', "utf-8"),
    ],
)
def test_csv_of_any_dialect_gives_rows_with_their_header(parse: Parse, text: str, encoding: str) -> None:
    pages = parse(text.encode(encoding), media_types.CSV)
    assert lines(pages) == ["Name: Ann; City: Köln", "Name: Ben; City: Bonn"]


def test_csv_in_an_old_encoding_is_read(parse: Parse) -> None:
    rows = ["Gäste;Straße", *["Müller;Große Straße über dem Fluß"] * 20]
    found = lines(parse("\r\n".join(rows).encode("cp1252"), media_types.CSV))
    assert found == ["Gäste: Müller; Straße: Große Straße über dem Fluß"] * 20


def test_decimal_commas_do_not_divide(parse: Parse) -> None:
    assert lines(parse(b"Lake;Depth;Length\nNorth;1,5;2,5\nSouth;3,5;9,5\n", media_types.CSV)) == [
        "Lake: North; Depth: 1,5; Length: 2,5",
        "Lake: South; Depth: 3,5; Length: 9,5",
    ]


def test_quoted_cells_hold_lines_and_delimiters(parse: Parse) -> None:
    content = b'Name,Note\nAnn,"first, then\nsecond ""quoted"""\nBen,none\n'
    assert lines(parse(content, media_types.CSV)) == [
        'Name: Ann; Note: first, then second "quoted"', "Name: Ben; Note: none",
    ]  # fmt: skip


def test_csv_without_header_does_not_make_one_up(parse: Parse) -> None:
    assert lines(parse(b"1,2,3\n4,5,6\n", media_types.CSV)) == ["1 | 2 | 3", "4 | 5 | 6"]
    assert lines(parse(b"red,up\nblue,down\nred,down\n", media_types.CSV))[0] == "red | up"


def test_cells_of_signs_name_no_column(parse: Parse) -> None:
    assert lines(parse(b"|;Colour:;red\n|;Length:;12\n", media_types.CSV)) == [
        "| | Colour: | red",
        "| | Length: | 12",
    ]


def test_long_csv_streams_without_losing_a_row(parse: Parse) -> None:
    rows = "".join(f"{number},{documents.place_of_page(number)}\r\n" for number in range(1, 30_001))
    found = lines(parse(b"Number,Place\r\n" + rows.encode(), media_types.CSV))
    assert len(found) == 30_000
    assert found[12_344] == f"Number: 12345; Place: {documents.place_of_page(12345)}"


def test_unclosed_quotation_mark_is_refused_by_name(parse: Parse) -> None:
    content = b'a,b\n1,"never closed\n' + b"2,more\n" * 300_000
    with pytest.raises(LimitExceeded, match="more than 1,000,000 characters"):
        parse(content, media_types.CSV)


def test_csv_without_text_is_no_text(parse: Parse) -> None:
    with pytest.raises(NoText):
        parse(b" ; ;\n;;\n", media_types.CSV)
    with pytest.raises(NoText):
        text_of(parse(b"\n\n\n", media_types.CSV))
