"""The routes of the platform dialect, as its contract spells them: without a slash at the end."""

from django.urls import path

from apps.api.common import converters  # noqa: F401 - registers <id:…>
from apps.api.platform.views import files, knowledge_bases, organizations, uploads
from apps.api.platform.views.search import SearchView

_ORGANIZATION = "orgs/<id:organization_id>"
_KNOWLEDGE_BASE = f"{_ORGANIZATION}/knowledgebases/<id:knowledge_base_id>"
_FILE = f"{_KNOWLEDGE_BASE}/files/<id:file_id>"

urlpatterns = [
    path("orgs", organizations.OrganizationsView.as_view()),
    path(_ORGANIZATION, organizations.OrganizationDetailView.as_view()),
    path(f"{_ORGANIZATION}/knowledgebases", knowledge_bases.KnowledgeBasesView.as_view()),
    path(_KNOWLEDGE_BASE, knowledge_bases.KnowledgeBaseDetailView.as_view()),
    path(f"{_KNOWLEDGE_BASE}/search", SearchView.as_view()),
    path(f"{_KNOWLEDGE_BASE}/files", files.FilesView.as_view()),
    path(f"{_KNOWLEDGE_BASE}/files/upload-url", uploads.UploadUrlView.as_view()),
    path(f"{_KNOWLEDGE_BASE}/files/upload-urls", uploads.UploadUrlsView.as_view()),
    path(_FILE, files.FileDetailView.as_view()),
    path(f"{_FILE}/multipart", uploads.MultipartView.as_view()),
    path(f"{_FILE}/multipart/part-urls", uploads.PartUrlsView.as_view()),
    path(f"{_FILE}/multipart/complete", uploads.CompleteView.as_view()),
    path(f"{_FILE}/s3-ingest", files.S3IngestView.as_view()),
    path(f"{_FILE}/reindex", files.ReindexView.as_view()),
    path(f"{_FILE}/download-link", files.DownloadLinkView.as_view()),
    path(f"{_FILE}/events", files.FileEventsView.as_view()),
]
