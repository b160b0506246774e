from django.urls import path

from apps.console.organization.mounting import choose, manage

urlpatterns = [
    path("manage/", choose),
    path("manage/<str:organization_id>/", manage),
    path("manage/<str:organization_id>/<path:page>", manage),
]
