"""Lists in an order that a caller names: by any field of their items whose values have one."""

from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from django.core.exceptions import FieldDoesNotExist
from django.db.models import (
    CharField,
    Expression,
    F,
    Field,
    Func,
    GenericIPAddressField,
    JSONField,
    Model,
    OrderBy,
    TextField,
    Value,
)
from django.db.models.functions import Cast, NullIf
from rest_framework import serializers

Term = str | F | Expression


class CodePoints(Func):
    """A text, compared character by character: the same in every database, whatever language it was set up in."""

    template = "%(expressions)s"
    output_field = TextField()

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> tuple[str, Any]:
        return self.as_sql(compiler, connection, template='%(expressions)s COLLATE "C"', **context)


class OrderByField(serializers.ChoiceField):
    """A field's name, with ``-`` in front for descending; becomes the arguments of ``order_by``.

    ``item`` says what a list's items are made of, from rows of ``model``: it can be ordered by every field that is a
    column and no JSON, and by those that ``computed`` gives a column or an expression. Empty values come last, either
    way.
    """

    default_error_messages = {"invalid_choice": "This list can be ordered by: {names}."}

    def __init__(
        self,
        item: type[serializers.Serializer],
        model: type[Model],
        *,
        computed: Mapping[str, Term] | None = None,
        **kwargs: Any,
    ) -> None:
        self.terms = dict(_terms(item(), model, computed or {}))
        kwargs.setdefault("help_text", "The field to order by, with `-` in front for descending.")
        super().__init__([*self.terms, *(f"-{name}" for name in self.terms)], required=False, **kwargs)

    def to_internal_value(self, data: Any) -> tuple[str | OrderBy, str]:  # type: ignore[override]  # stubs: it gives str
        name = str(data).removeprefix("-")
        if name not in self.terms or str(data).startswith("--"):
            self._refuse()
        is_descending = str(data).startswith("-")
        # The key makes the order total, so that pages neither overlap nor skip.
        key = "-pk" if is_descending else "pk"
        term = self.terms[name]
        if isinstance(term, str):
            return (f"-{term}" if is_descending else term, key)
        return (OrderBy(term, descending=is_descending, nulls_last=True), key)

    def _refuse(self) -> NoReturn:
        self.fail("invalid_choice", names=", ".join(self.terms))


def _terms(
    item: serializers.Serializer, model: type[Model], computed: Mapping[str, Term]
) -> Iterator[tuple[str, Term]]:
    for name, field in item.fields.items():
        if name in computed:
            yield name, computed[name]
            continue
        path = str(field.source).replace(".", "__")
        try:
            column = _column(model, path)
        except FieldDoesNotExist:
            continue
        if not isinstance(column, JSONField):
            yield name, _term(path, column, can_be_empty=bool(field.allow_null) or column.null)


def _term(path: str, column: Field, *, can_be_empty: bool) -> Term:
    """A name where that is enough: an index may serve it."""
    if isinstance(column, GenericIPAddressField):
        return CodePoints(Cast(path, TextField()))
    if not isinstance(column, CharField | TextField) or column.primary_key:
        return F(path) if can_be_empty else path
    return CodePoints(NullIf(F(path), Value("")) if can_be_empty else F(path))


def _column(model: type[Model], path: str) -> Field:
    """Raises FieldDoesNotExist."""
    first, _, rest = path.partition("__")
    field = model._meta.pk if first == "pk" else model._meta.get_field(first)
    if rest and field is not None and field.related_model:
        return _column(field.related_model, rest)
    if rest or not isinstance(field, Field):
        raise FieldDoesNotExist(path)
    return field
