"""What a PUT must be like before a byte of it is worth reading."""

from email.message import Message

from django.conf import settings

from apps.api.objects.errors import BadObjectSignature, WrongContentType
from apps.base.errors import NotFound, TooLarge
from apps.knowledge.object_keys import KeyParts, parse_object_key
from apps.knowledge.storage import object_store
from apps.knowledge.storage.folder import FolderStore
from apps.knowledge.storage.folder_parts import part_bytes_of
from apps.knowledge.storage.signatures import BadSignature, Grant, unseal


def folder_store() -> FolderStore:
    """Raises NotFound where objects are in another kind of store, which serves its own URLs."""
    store = object_store()
    if not isinstance(store, FolderStore):
        raise NotFound("There is no such object.")
    return store


def check_key(key: str) -> KeyParts:
    """Raises NotFound for what can't be a file's key."""
    parts = parse_object_key(key)
    if parts is None:
        raise NotFound("There is no such object.")
    return parts


def check_grant(token: str, *, method: str, key: str) -> Grant:
    """Raises BadObjectSignature."""
    try:
        return unseal(token, method=method, key=key)
    except BadSignature as error:
        raise BadObjectSignature(str(error)) from error


def check_upload(key: str, *, token: str, content_type: str, declared_length: int) -> Grant:
    """What the head of a PUT tells without a look at the database: safe to ask before the body is read.

    Raises NotFound, BadObjectSignature, WrongContentType, TooLarge.
    """
    folder_store()
    check_key(key)
    grant = check_grant(token, method="PUT", key=key)
    if not grant.part_number and not is_same_type(content_type, grant.content_type):
        raise WrongContentType(f"The URL was made for the Content-Type '{grant.content_type}'.")
    check_length(declared_length, max_bytes_of(grant))
    return grant


def max_bytes_of(grant: Grant) -> int:
    """How large the body of a PUT may be. The plan, which may be stricter, takes a query."""
    return part_bytes_of(grant.upload_id) if grant.part_number else int(settings.MAX_FILE_BYTES)


def end_of_part(grant: Grant, declared_length: int) -> int:
    """Up to which byte of the file a part may write; one of a length that is not told, as far as a part goes."""
    room = part_bytes_of(grant.upload_id)
    return (grant.part_number - 1) * room + (declared_length or room)


def check_length(declared_length: int, max_bytes: int) -> None:
    """Raises TooLarge."""
    if declared_length > max_bytes:
        raise TooLarge(f"The upload is larger than the limit of {max_bytes} bytes.")


def is_same_type(one: str, other: str) -> bool:
    """Whether two Content-Type headers say the same: case and the order of parameters say nothing."""
    return _parsed(one) == _parsed(other)


def _parsed(content_type: str) -> tuple[str, frozenset[tuple[str, str]]]:
    message = Message()
    message["Content-Type"] = content_type.replace("\r", "").replace("\n", "")
    (media_type, _), *parameters = message.get_params(failobj=[("", "")])
    return media_type.strip().lower(), frozenset((name.lower(), value.lower()) for name, value in parameters)
