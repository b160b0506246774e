from django.urls import path

from apps.api.objects.views import ObjectView

urlpatterns = [path("objects/<path:key>", ObjectView.as_view(), name="object")]
