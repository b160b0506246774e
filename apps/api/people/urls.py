"""Signing in and out, and joining. The namespace is the one that the browsable API links to."""

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path

from apps.api.people.address_limit import posts_limited_by_address
from apps.api.people.views import home, join

app_name = "rest_framework"
urlpatterns = [
    path("", home, name="home"),
    path(
        "login/",
        posts_limited_by_address(
            LoginView.as_view(template_name="api/login.html", redirect_authenticated_user=True)
        ),
        name="login",
    ),
    path("join/<str:token>", posts_limited_by_address(join), name="join"),
    path("logout/", LogoutView.as_view(), name="logout"),
]
