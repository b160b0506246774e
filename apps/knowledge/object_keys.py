"""The key of a file's object, made and read in one place."""

import re
from typing import NamedTuple

_KEY = re.compile(r"orgs/(?P<org>org-[0-9a-z]+)/kbs/(?P<kb>kb-[0-9a-z]+)/files/(?P<file>file-[0-9a-z]+)")


class KeyParts(NamedTuple):
    organization_id: str
    knowledge_base_id: str
    file_id: str


def object_key(organization_id: str, knowledge_base_id: str, file_id: str) -> str:
    return f"orgs/{organization_id}/kbs/{knowledge_base_id}/files/{file_id}"


def parse_object_key(key: str) -> KeyParts | None:
    """The ids in a key, or None for a key that is not one of ours."""
    match = _KEY.fullmatch(key)
    return KeyParts(match["org"], match["kb"], match["file"]) if match else None
