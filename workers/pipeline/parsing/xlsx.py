"""Excel workbooks by openpyxl, which streams their rows: sheet by sheet, each row with its header.

A sheet is no page: people refer to it by its name, which is its title here. Formulas stand as the values
Excel last computed. Hidden sheets are read like others; comments and text boxes follow their sheet.
"""

import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openpyxl
from defusedxml.common import DefusedXmlException
from lxml import etree

from workers.pipeline.errors import Damaged
from workers.pipeline.parsing.archive import ARCHIVE_ERRORS, check_expansion
from workers.pipeline.parsing.blocks import Block, BlockKind, ParsedPage, ParseOptions
from workers.pipeline.parsing.number_format import show
from workers.pipeline.parsing.pagination import in_batches
from workers.pipeline.parsing.sanitize import collapse
from workers.pipeline.parsing.tabular import table_blocks
from workers.pipeline.parsing.xlsx_notes import notes_of_sheet


def parse(path: Path, options: ParseOptions) -> Iterator[ParsedPage]:
    """Unnumbered pages. Raises Damaged, LimitExceeded."""
    check_expansion(path, options.limits.max_expanded_bytes)
    try:
        # openpyxl looks at the extension of a path, and uploads have none; so it gets a stream.
        with path.open("rb") as stream, warnings.catch_warnings(action="ignore"):
            yield from in_batches(_blocks(stream))
    except DefusedXmlException as error:
        raise Damaged("The workbook declares XML entities, which no Excel writes.") from error
    except (*ARCHIVE_ERRORS, etree.LxmlError, SyntaxError, LookupError) as error:
        raise Damaged("The Excel workbook is damaged. Upload an intact copy.") from error
    except (AttributeError, TypeError, AssertionError, ArithmeticError) as error:
        # openpyxl takes required parts and attributes for granted.
        raise Damaged("The Excel workbook's structure is damaged. Save it anew in Excel.") from error


def _blocks(stream: Any) -> Iterator[Block]:
    workbook = openpyxl.load_workbook(stream, read_only=True, data_only=True, keep_links=False)
    with zipfile.ZipFile(stream) as archive:
        for sheet in workbook.worksheets:
            sheet.reset_dimensions()  # what the file says of its size may be wrong, or a lie
            yield from _titled(sheet.title, table_blocks(_rows(sheet)))
            yield from notes_of_sheet(archive, sheet._worksheet_path)
    workbook.close()


def _titled(title: str, blocks: Iterator[Block]) -> Iterator[Block]:
    """An empty sheet has no title either, or workbooks with nothing in them would have text."""
    first = next(blocks, None)
    if first is None:
        return
    if text := collapse(title):
        yield Block(BlockKind.TITLE, text, 1)
    yield first
    yield from blocks


def _rows(sheet: Any) -> Iterator[list[str]]:
    for row in sheet.iter_rows():
        yield [
            "" if cell.value is None else cell.value if isinstance(cell.value, str) else _shown(cell)
            for cell in row
        ]


def _shown(cell: Any) -> str:
    return show(cell.value, cell.number_format or "General")
