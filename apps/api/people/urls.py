"""Signing in and out, joining, and one's own account. The namespace is the one that the browsable API links to."""

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path
from django.views.generic import TemplateView

from apps.api.people.account import (
    AccountView,
    ForgottenPasswordView,
    NewPasswordView,
    PasswordChangeView,
)
from apps.api.people.address_limit import posts_limited_by_address
from apps.api.people.views import home, join

app_name = "rest_framework"
_LINK_SENT = {
    "heading": "Look into your mail",
    "text": "If there is an account for that address, a link to set a new password is on its way. It can take a "
    "minute; another is sent after a minute at the earliest.",
}
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
    path("account/", AccountView.as_view(), name="account"),
    path("password/", posts_limited_by_address(PasswordChangeView.as_view()), name="password_change"),
    path("password/reset/", posts_limited_by_address(ForgottenPasswordView.as_view()), name="password_reset"),
    path(
        "password/reset/sent/",
        TemplateView.as_view(template_name="api/form_card.html", extra_context=_LINK_SENT),
        name="password_reset_done",
    ),
    path(
        "password/reset/<str:uidb64>/<str:token>/",
        posts_limited_by_address(NewPasswordView.as_view()),
        name="password_reset_confirm",
    ),
]
