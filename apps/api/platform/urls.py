"""The routes of the platform dialect, as its contract spells them: without a slash at the end."""

from django.urls import path

from apps.api.common import converters  # noqa: F401 - registers <id:…>
from apps.api.platform.views import (
    action_chains,
    agents,
    api_keys,
    copies,
    documents,
    download_links,
    etls,
    files,
    former_members,
    invitations,
    knowledge_bases,
    members,
    organizations,
    runs,
    uploads,
)
from apps.api.platform.views.audit_log import AuditLogView
from apps.api.platform.views.reembedding import ReembedView
from apps.api.platform.views.search import SearchView
from apps.api.platform.views.usage import UsageView

_ORGANIZATION = "orgs/<id:organization_id>"
_DOCUMENT = f"{_ORGANIZATION}/documents/<id:document_id>"
_KNOWLEDGE_BASE = f"{_ORGANIZATION}/knowledgebases/<id:knowledge_base_id>"
_FILE = f"{_KNOWLEDGE_BASE}/files/<id:file_id>"
_ETL = f"{_KNOWLEDGE_BASE}/etls/<id:etl_id>"

urlpatterns = [
    path(f"{_KNOWLEDGE_BASE}/search", SearchView.as_view()),  # first: it is asked for most
    path("orgs", organizations.OrganizationsView.as_view()),
    path(_ORGANIZATION, organizations.OrganizationDetailView.as_view()),
    path(f"{_ORGANIZATION}/members", members.MembersView.as_view()),
    path(f"{_ORGANIZATION}/members/<id:user_id>", members.MemberView.as_view()),
    path(f"{_ORGANIZATION}/former-members", former_members.FormerMembersView.as_view()),
    path(f"{_ORGANIZATION}/former-members/<id:user_id>", former_members.FormerMemberView.as_view()),
    path(f"{_ORGANIZATION}/transfer", members.TransferView.as_view()),
    path(f"{_ORGANIZATION}/invitations", invitations.InvitationsView.as_view()),
    path(f"{_ORGANIZATION}/invitations/<id:invitation_id>", invitations.InvitationView.as_view()),
    path(f"{_ORGANIZATION}/invitations/<id:invitation_id>/resend", invitations.ResendView.as_view()),
    path("invitations/accept", invitations.AcceptView.as_view()),
    path(f"{_ORGANIZATION}/api-keys", api_keys.ApiKeysView.as_view()),
    path(f"{_ORGANIZATION}/api-keys/<id:key_id>", api_keys.ApiKeyView.as_view()),
    path(f"{_ORGANIZATION}/api-keys/<id:key_id>/rotate", api_keys.RotateView.as_view()),
    path(f"{_ORGANIZATION}/audit-log", AuditLogView.as_view()),
    path(f"{_ORGANIZATION}/usage", UsageView.as_view()),
    path(f"{_ORGANIZATION}/agents", agents.AgentsView.as_view()),
    path(f"{_ORGANIZATION}/agents/<id:agent_id>", agents.AgentDetailView.as_view()),
    path(f"{_ORGANIZATION}/agents/<id:agent_id>/run", agents.AgentRunView.as_view()),
    path(f"{_ORGANIZATION}/action-chains", action_chains.ActionChainsView.as_view()),
    path(
        f"{_ORGANIZATION}/action-chains/<id:action_chain_id>", action_chains.ActionChainDetailView.as_view()
    ),
    path(
        f"{_ORGANIZATION}/action-chains/<id:action_chain_id>/run", action_chains.ActionChainRunView.as_view()
    ),
    path(f"{_ORGANIZATION}/runs", runs.RunsView.as_view()),
    path(f"{_ORGANIZATION}/runs/<id:run_id>", runs.RunDetailView.as_view()),
    path(f"{_ORGANIZATION}/runs/<id:run_id>/retry", runs.RetryView.as_view()),
    path(f"{_ORGANIZATION}/runs/<id:run_id>/cancel", runs.CancelView.as_view()),
    path(f"{_ORGANIZATION}/documents", documents.DocumentsView.as_view()),
    path(_DOCUMENT, documents.DocumentDetailView.as_view()),
    path(f"{_DOCUMENT}/versions", documents.VersionsView.as_view()),
    path(f"{_DOCUMENT}/versions/<id:version>", documents.VersionView.as_view()),
    path(f"{_DOCUMENT}/versions/<id:version>/restore", documents.RestoreView.as_view()),
    path(f"{_DOCUMENT}/diff", documents.DiffView.as_view()),
    path(f"{_ORGANIZATION}/knowledgebases", knowledge_bases.KnowledgeBasesView.as_view()),
    path(_KNOWLEDGE_BASE, knowledge_bases.KnowledgeBaseDetailView.as_view()),
    path(f"{_KNOWLEDGE_BASE}/copy-to", copies.KnowledgeBaseCopyToView.as_view()),
    path(f"{_KNOWLEDGE_BASE}/copies", copies.CopiesView.as_view()),
    path(f"{_KNOWLEDGE_BASE}/copies/<id:copy_id>", copies.CopyDetailView.as_view()),
    path(f"{_KNOWLEDGE_BASE}/reembed", ReembedView.as_view()),
    path(f"{_KNOWLEDGE_BASE}/files", files.FilesView.as_view()),
    path(f"{_KNOWLEDGE_BASE}/files/upload-url", uploads.UploadUrlView.as_view()),
    path(f"{_KNOWLEDGE_BASE}/files/upload-urls", uploads.UploadUrlsView.as_view()),
    path(_FILE, files.FileDetailView.as_view()),
    path(f"{_FILE}/multipart", uploads.MultipartView.as_view()),
    path(f"{_FILE}/multipart/part-urls", uploads.PartUrlsView.as_view()),
    path(f"{_FILE}/multipart/complete", uploads.CompleteView.as_view()),
    path(f"{_FILE}/s3-ingest", files.S3IngestView.as_view()),
    path(f"{_FILE}/reindex", files.ReindexView.as_view()),
    path(f"{_FILE}/download-link", download_links.DownloadLinkView.as_view()),
    path(f"{_FILE}/download-links", download_links.DownloadLinksView.as_view()),
    path(f"{_FILE}/download-links/<id:link_id>", download_links.DownloadLinkDetailView.as_view()),
    path(f"{_FILE}/copy-to", copies.FilesCopyToView.as_view()),
    path(f"{_KNOWLEDGE_BASE}/file/<id:file_id>/copy-to", copies.FileCopyToView.as_view()),
    path(f"{_FILE}/events", files.FileEventsView.as_view()),
    path(f"{_KNOWLEDGE_BASE}/etls", etls.EtlsView.as_view()),
    path(_ETL, etls.EtlDetailView.as_view()),
    path(f"{_ETL}/runs", etls.EtlRunsView.as_view()),
    path(f"{_ETL}/run", etls.EtlRunView.as_view()),
    path(f"{_ETL}/test", etls.EtlTestView.as_view()),
    path(f"{_ETL}/events", etls.EtlEventsView.as_view()),
]
