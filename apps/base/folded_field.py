"""Text that is looked for without regard to case, alike in every database: none of them does that itself for all of
Unicode, and each in its own way."""

from typing import Any

from django.db import models

from apps.base.texts import folded_text


class FoldedField(models.TextField):
    """What the column ``of`` says, by ``folded_text``: each save of a row sees to it, and each ``bulk_create``.

    ``save(update_fields=…)`` and ``update`` that change the one must name the other.
    """

    def __init__(self, *, of: str = "", **kwargs: Any) -> None:
        self.of = of
        told: dict[str, Any] = {"editable": False, "blank": True, "default": ""} | kwargs
        super().__init__(**told)

    def pre_save(self, model_instance: models.Model, add: bool) -> str:  # noqa: ARG002 - the base has it
        folded = folded_text(getattr(model_instance, self.of))
        setattr(model_instance, self.attname, folded)
        return folded

    def deconstruct(self) -> Any:
        """A migration knows a text."""
        name, _, args, kwargs = super().deconstruct()
        return name, "django.db.models.TextField", args, kwargs
