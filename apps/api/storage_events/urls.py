from django.urls import path

from apps.api.storage_events.views import StorageEventsView

urlpatterns = [path("storage-events", StorageEventsView.as_view(), name="storage-events")]
