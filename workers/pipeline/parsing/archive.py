"""Documents that are ZIP archives of XML parts: bounded before they are opened, and read without surprises."""

import zipfile
import zlib
from pathlib import Path
from typing import Any

from lxml import etree

from workers.pipeline.errors import Damaged, LimitExceeded

MAX_MEMBERS = 20_000

# What zipfile raises for broken archives, encrypted members (RuntimeError) and methods it does not know.
ARCHIVE_ERRORS = (
    zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError, OSError
)  # fmt: skip


def check_expansion(path: Path, max_bytes: int) -> None:
    """Raises LimitExceeded for an archive that unpacks to more than ``max_bytes``.

    zipfile hands over no more of a member than its header says, and then finds the checksum wrong, so a header
    that lies is damaged (or ends at the memory limit, for what is unpacked at once). Members that share their
    bytes count each. Raises Damaged for what is no archive.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except ARCHIVE_ERRORS as error:
        raise Damaged("The document's archive is damaged. Upload an intact copy.") from error
    expanded = sum(member.file_size for member in members)
    if expanded > max_bytes or len(members) > MAX_MEMBERS:
        raise LimitExceeded(
            f"The document unpacks to {expanded:,} bytes in {len(members):,} parts, more than the limit of "
            f"{max_bytes:,} bytes or {MAX_MEMBERS:,} parts."
        )


def read_part(archive: zipfile.ZipFile, name: str) -> Any:
    """The root element of an XML part. Raises KeyError without such a part, etree.XMLSyntaxError.

    Entities are not expanded, no DTD is loaded and nothing is fetched; comments are left out.
    """
    parser = etree.XMLParser(
        resolve_entities=False, load_dtd=False, no_network=True, remove_comments=True, remove_pis=True
    )
    return etree.fromstring(archive.read(name), parser)
