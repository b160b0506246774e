"""Queries that are compiled once and run with other values ever after.

Django builds and compiles a query each time it is asked. For the few that every call of the API makes, that takes
several times as long as the database does (docs/decisions/http-latency.md). What is kept is SQL, never a row.
"""

import copy
from collections.abc import Callable, Sequence
from itertools import count, islice
from typing import Any, Generic, NamedTuple, TypeVar

from django.db import connections
from django.db.models import QuerySet

from apps.orgs.scope import current_scope, system_scope, tenant_scope

Row = TypeVar("Row")
Value = str | Sequence[str]
_Lengths = tuple[int | None, ...]  # of each argument; None for a text
_ORGANIZATION = "\x00organization"  # no value of ours: PostgreSQL has no NUL in texts


class _Plan(NamedTuple):
    rows: Any  # the queryset that was compiled
    compiler: Any
    sql: str
    parameters: tuple[Any, ...]  # with markers where values go


class PreparedQuery(Generic[Row]):
    """``make`` gives a queryset for some values: texts that columns are compared with, or sequences of texts for
    ``__in``. It is called with stand-ins, once for each shape of the arguments, and must treat all values alike.

    The tenant scope is part of the query, as with any queryset: the one that is open when it runs.
    """

    def __init__(self, make: Callable[..., QuerySet[Any, Row]]) -> None:
        self._make = make
        self._plans: dict[tuple[bool, _Lengths], _Plan] = {}

    def __call__(self, *values: Value) -> list[Row]:
        """Run it now. Raises ScopeMissing, as making the queryset would."""
        organization_id = current_scope().organization_id
        lengths = tuple(None if isinstance(value, str) else len(value) for value in values)
        if 0 in lengths:
            return []  # nothing is in an empty list, which Django knows without asking the database
        kind = (organization_id is None, lengths)
        plan = self._plans.get(kind) or self._plans.setdefault(kind, self._compile(*kind))
        texts = [text for value in values for text in ((value,) if isinstance(value, str) else value)]
        given = {_marker(number): text for number, text in enumerate(texts)} | {
            _ORGANIZATION: organization_id
        }
        parameters = tuple(
            given.get(value, value) if isinstance(value, str) else value for value in plan.parameters
        )

        compiler = copy.copy(plan.compiler)
        compiler.connection = connections[plan.rows.db]  # this thread's
        compiler.as_sql = lambda *_, **__: (plan.sql, parameters)
        query = copy.copy(plan.rows.query)
        query.get_compiler = lambda *_, **__: compiler
        rows: Any = QuerySet(model=plan.rows.model, query=query, using=plan.rows.db)
        rows._fields, rows._iterable_class = plan.rows._fields, plan.rows._iterable_class
        return list(rows)

    def _compile(self, is_system: bool, lengths: _Lengths) -> _Plan:
        markers = map(_marker, count())
        stand_ins = [
            next(markers) if length is None else tuple(islice(markers, length)) for length in lengths
        ]
        with system_scope("compiling a query") if is_system else tenant_scope(_ORGANIZATION):
            rows: Any = self._make(*stand_ins)
        compiler = rows.query.get_compiler(rows.db)
        sql, parameters = compiler.as_sql()
        return _Plan(rows, compiler, sql, tuple(parameters))


def _marker(number: int) -> str:
    return f"\x00{number}"
