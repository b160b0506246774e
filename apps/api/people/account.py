"""An account's own pages: names, the password, and what to do when it is forgotten."""

import logging

from celery import current_app
from django.contrib.auth import views as auth_views
from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.messages.views import SuccessMessageMixin
from django.db.models import QuerySet
from django.http import HttpResponse
from django.urls import reverse_lazy
from django.views.generic import FormView, UpdateView
from kombu.exceptions import OperationalError

from apps.accounts.models import User
from apps.api.people.forms import ForgottenPasswordForm, NamesForm

logger = logging.getLogger(__name__)
RESET_TASK = "workers.maintenance.send_password_reset"
CARD = "api/form_card.html"


class AccountView(LoginRequiredMixin, SuccessMessageMixin, UpdateView):
    """Who somebody is to others."""

    form_class = NamesForm
    template_name = "api/account.html"
    success_url = reverse_lazy("rest_framework:account")
    success_message = "Saved."

    def get_object(self, queryset: QuerySet[User] | None = None) -> User:
        return User.objects.get(pk=self.request.user.pk)


class PasswordChangeView(SuccessMessageMixin, auth_views.PasswordChangeView):
    """This session goes on; every other one of the account ends."""

    template_name = CARD
    success_url = reverse_lazy("rest_framework:account")
    success_message = "Your password is changed. Wherever else you were signed in, you are not any more."
    extra_context = {"heading": "Change your password", "button": "Change"}


class ForgottenPasswordView(FormView):
    """Takes any address, and answers the same for each, as fast: whether it has an account, a worker looks up."""

    form_class = ForgottenPasswordForm
    template_name = CARD
    success_url = reverse_lazy("rest_framework:password_reset_done")
    extra_context = {"heading": "Forgot your password?", "button": "Send me a link"}

    def form_valid(self, form: ForgottenPasswordForm) -> HttpResponse:
        try:
            current_app.send_task(RESET_TASK, [form.cleaned_data["email"]])
        except OperationalError:  # said to nobody: who is told to try again would be for any address
            logger.exception("A link to set a new password could not be asked for: the broker is away.")
        return super().form_valid(form)


class NewPasswordView(SuccessMessageMixin, auth_views.PasswordResetConfirmView):
    """Where the link of the e-mail leads. Every session of the account ends; its API keys stay."""

    template_name = CARD
    success_url = reverse_lazy("rest_framework:login")
    success_message = "Your password is set. Sign in with it."
    extra_context = {
        "heading": "Set a new password",
        "button": "Set it",
        "refusal": "This link was used, or has expired. Ask for a new one.",
    }
