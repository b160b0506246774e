"""Plans, which operators edit: every change is in the audit log, that of the operators."""

from typing import Any

from django.db import transaction

from apps.orgs.models import Plan
from apps.orgs.scope import system_scope
from apps.orgs.signals import announce


@transaction.atomic
def save_plan(plan: Plan) -> None:
    """As it is now, whether it is new or not. The organizations that have it are bound by it at once."""
    before = Plan.objects.select_for_update().filter(pk=plan.pk).first()
    plan.save()
    if before is None:
        _announce("plan.created", plan, after=_bounds(plan))
        return
    was, now = _bounds(before), _bounds(plan)
    changed = [name for name in now if was[name] != now[name]]
    if changed:
        told = {name: was[name] for name in changed}, {name: now[name] for name in changed}
        _announce("plan.updated", plan, before=told[0], after=told[1])


@transaction.atomic
def delete_plan(plan: Plan) -> None:
    """Raises ProtectedError for one that organizations have."""
    _announce("plan.deleted", plan, before=_bounds(plan))
    plan.delete()


def _bounds(plan: Plan) -> dict[str, Any]:
    return {field.name: getattr(plan, field.name) for field in Plan._meta.concrete_fields[1:]}


def _announce(kind: str, plan: Plan, **payload: Any) -> None:
    with system_scope("plans belong to no organization"):
        announce(kind, organization_id=None, subject_id=plan.pk, **payload)
