"""What a plan lets an organization keep of documents: their number, and the bytes of all their versions."""

from dataclasses import dataclass

from django.db.models import Sum

from apps.documents.models import Document, DocumentVersion
from apps.orgs import quotas
from apps.orgs.scope import tenant_scope


@dataclass(frozen=True, slots=True)
class Written:
    documents: int = 0
    size_bytes: int = 0

    @property
    def by_quota(self) -> quotas.Amounts:
        return {"max_documents": self.documents, "max_document_bytes": self.size_bytes}


def written_by(organization_id: str) -> Written:
    """What the organization has now, in two queries over indexes that hold all they ask for."""
    with tenant_scope(organization_id):
        documents = Document.objects.filter(organization_id=organization_id).count()
        versions = DocumentVersion.objects.filter(organization_id=organization_id)
        return Written(documents, int(versions.aggregate(held=Sum("size_bytes", default=0))["held"]))


def ensure_within(organization_id: str, *, documents: int = 0, size_bytes: int = 0) -> None:
    """Raise QuotaExceeded where what this transaction added is more than the plan allows, at its end:
    ``apps.orgs.quotas.ensure_within``."""
    quotas.ensure_within(organization_id, Written(documents, size_bytes).by_quota, _count)


def _count(organization_id: str) -> quotas.Amounts:
    return written_by(organization_id).by_quota
