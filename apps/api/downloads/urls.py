from django.urls import path

from apps.api.downloads.views import download

urlpatterns = [path("d/<str:token>", download, name="download")]
