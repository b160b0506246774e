"""What stands beside a sheet's cells and not in them: comments, charts, and the text of boxes and shapes."""

import posixpath
import zipfile
from collections.abc import Iterator
from typing import Any

from workers.pipeline.parsing.archive import read_part
from workers.pipeline.parsing.blocks import Block, BlockKind
from workers.pipeline.parsing.charts import CHART_RELATIONS, chart_block
from workers.pipeline.parsing.sanitize import collapse

_DRAWING = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_COMMENTS = "/comments"
_DRAWINGS = "/drawing"


def notes_of_sheet(archive: zipfile.ZipFile, sheet_path: str) -> Iterator[Block]:
    """PARAGRAPH blocks: "Comment on B2: …", and each paragraph of a text box; a TABLE for each chart."""
    for kind, target in _related_parts(archive, sheet_path):
        if kind.endswith(_COMMENTS):
            yield from _comments(read_part(archive, target))
        elif kind.endswith(_DRAWINGS):
            yield from _shapes(read_part(archive, target))
            for shown, chart in _related_parts(archive, target):
                if shown.endswith(CHART_RELATIONS):
                    yield from chart_block(read_part(archive, chart))


def _related_parts(archive: zipfile.ZipFile, part: str) -> Iterator[tuple[str, str]]:
    folder, name = posixpath.split(part)
    try:
        relations = read_part(archive, f"{folder}/_rels/{name}.rels")
    except KeyError:
        return
    names = set(archive.namelist())
    for relation in relations:
        target = relation.get("Target", "")
        absolute = target.lstrip("/") if target.startswith("/") else posixpath.normpath(f"{folder}/{target}")
        if absolute in names:
            yield relation.get("Type", ""), absolute


def _comments(root: Any) -> Iterator[Block]:
    for comment in root.iter("{*}comment"):
        if text := collapse("".join(part.text or "" for part in comment.iter("{*}t"))):
            yield Block(BlockKind.PARAGRAPH, f"Comment on {comment.get('ref', 'a cell')}: {text}")


def _shapes(root: Any) -> Iterator[Block]:
    for paragraph in root.iter(f"{_DRAWING}p"):
        if text := collapse("".join(run.text or "" for run in paragraph.iter(f"{_DRAWING}t"))):
            yield Block(BlockKind.PARAGRAPH, text)
