"""Each dialect's OpenAPI document, with a Swagger and a Redoc page that need nothing from elsewhere."""

from django.urls import URLPattern, path
from drf_spectacular.views import (
    SpectacularJSONAPIView,
    SpectacularRedocView,
    SpectacularSwaggerView,
    SpectacularYAMLAPIView,
)

from apps.api.dialects import DIALECTS, Dialect


def _pages_of(dialect: Dialect) -> list[URLPattern]:
    document = {
        "urlconf": dialect.urlconf,
        "custom_settings": dialect.schema_settings,
        "authentication_classes": [],  # public, also with a key that is not valid
    }
    page = {
        "url_name": f"schema-{dialect.name}",
        "title": dialect.schema_settings["TITLE"],
        "authentication_classes": [],
    }
    base = f"schema/{dialect.name}"
    return [
        path(f"{base}.json", SpectacularJSONAPIView.as_view(**document), name=f"schema-{dialect.name}"),
        path(f"{base}.yaml", SpectacularYAMLAPIView.as_view(**document)),
        path(f"{base}/", SpectacularSwaggerView.as_view(**page)),
        path(f"{base}/redoc/", SpectacularRedocView.as_view(template_name="api/redoc.html", **page)),
    ]


urlpatterns = [page for dialect in DIALECTS for page in _pages_of(dialect)]
