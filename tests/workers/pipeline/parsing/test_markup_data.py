"""JSON and XML: text that can be read and found, and what bombs get."""

import pytest

from apps.knowledge import media_types
from tests.fixtures import office
from tests.workers.pipeline.parsing.conftest import Parse, blocks_of, text_of
from workers.pipeline.errors import Damaged, LimitExceeded, NoText
from workers.pipeline.parsing.blocks import BlockKind, ParsedPage

pytestmark = pytest.mark.once


def outline(pages: list[ParsedPage]) -> list[tuple[str, str]]:
    return [(block.kind.value, block.text) for block in blocks_of(pages)]


def test_json_object_is_lines_of_paths_and_arrays_of_records_are_rows(parse: Parse) -> None:
    content = b"""{"name": "Ferry", "price": 1.10, "open": true, "none": null, "tags": ["lake", "boat"],
        "owner": {"city": "Bonn", "phones": [{"home": "123"}]},
        "lines": [{"id": 1, "stops": {"first": "Pier"}}, {"id": 2, "stops": {"first": "Weir"}}]}"""
    assert outline(parse(content, media_types.JSON)) == [
        (
            "table",
            "name: Ferry\nprice: 1.10\nopen: true\ntags: lake, boat\n"
            "owner.city: Bonn\nowner.phones[0].home: 123",
        ),
        ("title", "lines"),
        ("table", "id: 1; stops.first: Pier"),
        ("table", "id: 2; stops.first: Weir"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "content",
    [
        b'[{"a": "x"}, {"a": "y", "b": 2}]',
        b'{"a": "x"}\n{"a": "y", "b": 2}\n',
        b'{\n "a": "x"}\n\n{"a":\n "y", "b": 2}',
        b'\xef\xbb\xbf{"a": "x"}\r\n{"a": "y", "b": 2}',
    ],
)
def test_records_are_rows_however_they_are_strung(parse: Parse, content: bytes) -> None:
    assert outline(parse(content, media_types.JSON)) == [("table", "a: x"), ("table", "a: y; b: 2")]


def test_long_json_lines_stream(parse: Parse) -> None:
    content = "".join(f'{{"note": "number {number}"}}\n' for number in range(30_000)).encode()
    pages = parse(content, media_types.JSON)
    assert len(pages) > 1
    assert text_of(pages).split("\n\n")[29_999] == "note: number 29999"


def test_json_with_comments_is_read_as_it_stands(parse: Parse) -> None:
    content = b'{\n  // where it lies\n  "lake": "north",\n}'
    assert outline(parse(content, media_types.JSON)) == [("code", content.decode())]


@pytest.mark.parametrize("content", [b'{"a": [1, 2, {"b": "hel', b'{"a": [1, 2,', b'{"a": 1}\n{"a": "b'])
def test_json_that_ends_too_early_is_damaged(parse: Parse, content: bytes) -> None:
    with pytest.raises(Damaged, match="cut short"):
        parse(content, media_types.JSON)


def test_deeply_nested_json_is_refused_by_name(parse: Parse) -> None:
    with pytest.raises(LimitExceeded, match="nests its values"):
        parse(b'{"a":' * 50_000 + b"1" + b"}" * 50_000, media_types.JSON)


def test_json_without_values_is_no_text(parse: Parse) -> None:
    with pytest.raises(NoText):
        parse(b'{"a": null, "b": [], "c": {"d": ""}}', media_types.JSON)


def test_xml_text_is_paragraphs_and_records_are_rows(parse: Parse) -> None:
    content = """<?xml version="1.0" encoding="iso-8859-1"?><library xmlns="urn:x">
      <!-- not for readers -->
      <book id="7"><title>Dünen</title><price currency="EUR">9.99</price></book>
      <book id="8"><title>Weirs</title><price>12</price></book>
      <chapter><title>The Mill</title><p>He rose before the <b>birds</b>.</p><p>It rained.</p><p>He slept.</p></chapter>
      <owner>Ann Ahrens</owner></library>"""
    assert outline(parse(content.encode("iso-8859-1"), media_types.XML)) == [
        ("table", "id: 7; title: Dünen; price: 9.99, currency: EUR"),
        ("table", "id: 8; title: Weirs; price: 12"),
        ("title", "The Mill"),
        ("paragraph", "He rose before the birds."),
        ("paragraph", "It rained."),
        ("paragraph", "He slept."),
        ("paragraph", "owner: Ann Ahrens"),
    ]


def test_xml_entities_of_its_own_are_read(parse: Parse) -> None:
    content = b'<!DOCTYPE a [<!ENTITY firm "Acme Sons">]><a><p>We are &firm; of Bonn, since ever.</p></a>'
    assert text_of(parse(content, media_types.XML)) == "We are Acme Sons of Bonn, since ever."


@pytest.mark.parametrize(
    "doctype",
    [
        '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE a [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]>',
        '<!DOCTYPE a SYSTEM "http://127.0.0.1:9/x.dtd">',
    ],
)
def test_xml_never_reads_another_file(parse: Parse, doctype: str) -> None:
    with pytest.raises(Damaged, match=r"Entity '[bp]' not defined"):
        parse(f"{doctype}<a><p>before</p><p>&b;</p></a>".encode(), media_types.XML)


def test_xml_with_a_dtd_elsewhere_is_read_without_it(parse: Parse) -> None:
    content = b'<!DOCTYPE a PUBLIC "-//X//Y" "http://127.0.0.1:9/x.dtd"><a><p>It stands by itself.</p></a>'
    assert text_of(parse(content, media_types.XML)) == "It stands by itself."


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f"{office.ENTITY_BOMB}<a>&a9;</a>", "entities expand to more"),
        (
            '<!DOCTYPE a [<!ENTITY b "' + "x" * 100_000 + '">]><a>' + "&b;" * 20_000 + "</a>",
            "entities expand",
        ),
        ("<a>" * 5000 + "x" + "</a>" * 5000, "deeper than 256"),
        ("<a>" + "long " * 2_500_000 + "</a>", "longer than 10,000,000 bytes"),
    ],
)
def test_xml_bomb_is_refused_by_the_limit_it_exceeds(parse: Parse, content: str, message: str) -> None:
    with pytest.raises(LimitExceeded, match=message):
        parse(content.encode(), media_types.XML, memory_bytes=512 * 1024**2)


def test_xml_that_ends_too_early_is_damaged(parse: Parse) -> None:
    with pytest.raises(Damaged, match="cut short"):
        parse(b"<a><p>A whole paragraph.</p><p>Half of o", media_types.XML)


@pytest.mark.parametrize("declaration", ["", '<?xml version="1.0" encoding="utf-8"?>'])
def test_xml_in_another_encoding_than_it_says_is_damaged(parse: Parse, declaration: str) -> None:
    with pytest.raises(Damaged):
        parse(f"{declaration}<a><b>Müller in Köln</b></a>".encode("latin-1"), media_types.XML)


def test_xml_without_text_is_no_text(parse: Parse) -> None:
    with pytest.raises(NoText):
        parse(b"<a><b/><c> </c></a>", media_types.XML)


def test_list_items_of_xml_are_list_items(parse: Parse) -> None:
    pages = parse(b"<list><item>Two lenses</item><item>A tripod</item></list>", media_types.XML)
    assert {block.kind for block in blocks_of(pages)} == {BlockKind.LIST_ITEM}
