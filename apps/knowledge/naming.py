"""What a file may be called and be declared as."""

import re
from pathlib import PurePath

from apps.base.errors import ValidationFailed
from apps.knowledge import media_types

# Paths, control characters, and the marks that make a name read other than it is: "\u202egpj.exe" ends in "exe.jpg".
_NOT_IN_A_NAME = re.compile(r"[/\\\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_INVISIBLE = re.compile(r"[\s\u00ad\u200b-\u200f\u2060\ufeff]*")
MAX_NAME_CHARS = 255


def check_name_and_type(file_name: str, content_type: str) -> None:
    """Raises ValidationFailed."""
    fields: dict[str, list[str]] = {}
    if _INVISIBLE.fullmatch(file_name):
        fields["file_name"] = ["This field may not be blank."]
    elif (
        _NOT_IN_A_NAME.search(file_name) or PurePath(file_name).name != file_name or file_name in {".", ".."}
    ):
        fields["file_name"] = ["A file name, without a path or control characters, is expected."]
    if not media_types.is_supported(content_type, file_name):
        fields["content_type"] = [f"'{content_type}' is not a type that can be ingested."]
    if fields:
        raise ValidationFailed(
            " ".join(problem for problems in fields.values() for problem in problems), fields=fields
        )


def presentable(name: str) -> str:
    """The name of a file on a disk, whatever bytes it has, as one that ``check_name_and_type`` takes."""
    path = PurePath(_NOT_IN_A_NAME.sub("_", name))
    return path.stem[: MAX_NAME_CHARS - len(path.suffix)] + path.suffix
