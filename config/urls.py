"""Every address of the service. The dialects' own are found by apps/api/dialects.py."""

from django.contrib import admin
from django.urls import include, path

from apps.api.common.health import healthz, readyz
from apps.api.dialects import DIALECTS
from apps.api.people.address_limit import posts_limited_by_address

urlpatterns = [
    path("healthz", healthz),
    path("readyz", readyz),
    *(path("", include(dialect.urlconf)) for dialect in DIALECTS),
    path("admin/login/", posts_limited_by_address(admin.site.login)),
    path("admin/", admin.site.urls),
    path("", include("apps.console.urls")),
    path("", include("apps.api.people.urls")),
    path("", include("apps.api.objects.urls")),
    path("", include("apps.api.downloads.urls")),
    path("", include("apps.api.storage_events.urls")),
    path("", include("apps.api.schema.urls")),
]

handler400 = "apps.api.error_pages.bad_request"
handler403 = "apps.api.error_pages.permission_denied"
handler404 = "apps.api.error_pages.page_not_found"
handler500 = "apps.api.error_pages.server_error"
