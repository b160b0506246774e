"""The base of every model whose rows belong to one organization."""

from typing import Any, TypeVar

from django.db import models

from apps.orgs.scope import ScopeMissing, current_scope

M = TypeVar("M", bound=models.Model)


class TenantQuerySet(models.QuerySet[M]):
    def create(self, **fields: Any) -> M:
        scope = current_scope()
        if scope.organization_id is not None:
            owner = fields.get("organization_id") or getattr(fields.get("organization"), "pk", None)
            if owner is None:
                fields["organization_id"] = scope.organization_id
            elif owner != scope.organization_id:
                raise ScopeMissing(f"A row of {owner} can't be made in the scope of {scope.organization_id}.")
        return super().create(**fields)


class TenantManager(models.Manager[M]):
    _queryset_class = TenantQuerySet

    def get_queryset(self) -> models.QuerySet[M]:
        """Rows of the organization in scope.

        Raises ScopeMissing outside any scope.
        """
        scope = current_scope()
        rows: models.QuerySet[M] = super().get_queryset()
        return rows if scope.organization_id is None else rows.filter(organization_id=scope.organization_id)


class TenantModel(models.Model):
    organization = models.ForeignKey("orgs.Organization", on_delete=models.CASCADE, related_name="+")

    class Meta:
        abstract = True
