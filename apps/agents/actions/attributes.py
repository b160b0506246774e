"""What a run says of its file: metadata and tags."""

from typing import Annotated, Any

from django.db import transaction
from pydantic import BaseModel, Field, StringConstraints

from apps.agents.actions.contracts import Action, Effect
from apps.agents.context import StepContext
from apps.base.errors import ValidationFailed
from apps.knowledge.attribute_limits import (
    MAX_METADATA_KEY_CHARS,
    MAX_METADATA_KEYS,
    MAX_METADATA_VALUE_CHARS,
    MAX_TAG_CHARS,
    MAX_TAGS,
)
from apps.knowledge.attributes import update_file
from apps.knowledge.models import File
from apps.orgs.roles import Ability

Key = Annotated[str, StringConstraints(min_length=1, max_length=MAX_METADATA_KEY_CHARS, pattern=r"\S")]
Value = str | bool | int | Annotated[float, Field(allow_inf_nan=False)] | None
Tag = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Metadata(BaseModel):
    metadata: dict[Key, Value] = Field(
        min_length=1,
        max_length=MAX_METADATA_KEYS,
        description="Keys to set on the file; null takes one away, others stay.",
    )


class Tags(BaseModel):
    tags: list[Tag] = Field(
        min_length=1, max_length=MAX_TAGS, description="Tags that the file is to have besides its own."
    )


class SetMetadata(Action[Metadata]):
    parameters = Metadata
    effect = Effect.ROWS

    def perform(self, parameters: Metadata, context: StepContext) -> dict[str, Any]:
        context.principal.require(Ability.FILES_WRITE)
        return {"metadata": set_metadata(context.file(), parameters.metadata)}


class AddTags(Action[Tags]):
    parameters = Tags
    effect = Effect.ROWS

    def perform(self, parameters: Tags, context: StepContext) -> dict[str, Any]:
        context.principal.require(Ability.FILES_WRITE)
        return {"tags": add_tags(context.file(), parameters.tags)}


@transaction.atomic
def set_metadata(file: File, metadata: dict[str, Value]) -> dict[str, Value]:
    """Returns all that the file has then. Raises ValidationFailed for what is too long or too much, and NotFound."""
    current = File.objects.select_for_update().filter(pk=file.pk).first() or file
    for key, value in metadata.items():
        if isinstance(value, str) and len(value) > MAX_METADATA_VALUE_CHARS:
            raise ValidationFailed(
                f"The value of '{key}' is longer than {MAX_METADATA_VALUE_CHARS} characters."
            )
        if isinstance(value, int) and abs(value) >= 2**63:
            raise ValidationFailed(f"The value of '{key}' is a number out of range.")
    merged = {key: value for key, value in {**current.metadata, **metadata}.items() if value is not None}
    if len(merged) > MAX_METADATA_KEYS:
        raise ValidationFailed(f"A file has {MAX_METADATA_KEYS} metadata keys at most.")
    kept: dict[str, Value] = update_file(current, metadata=merged).metadata
    return kept


@transaction.atomic
def add_tags(file: File, tags: list[str]) -> list[str]:
    """Returns all that the file has then. Raises ValidationFailed for what is too long or too many, and NotFound."""
    current = File.objects.select_for_update().filter(pk=file.pk).first() or file
    if too_long := [tag for tag in tags if len(tag) > MAX_TAG_CHARS]:
        raise ValidationFailed(f"The tag '{too_long[0][:50]}…' is longer than {MAX_TAG_CHARS} characters.")
    merged = list(dict.fromkeys([*current.tags, *tags]))
    if len(merged) > MAX_TAGS:
        raise ValidationFailed(f"A file has {MAX_TAGS} tags at most.")
    kept: list[str] = update_file(current, tags=merged).tags
    return kept
