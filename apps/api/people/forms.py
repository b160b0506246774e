from django import forms

from apps.accounts.models import User


class NewAccountForm(forms.Form):
    """What somebody who is invited and has no account tells of themselves."""

    first_name = forms.CharField(max_length=150, required=False)
    last_name = forms.CharField(max_length=150, required=False)
    password = forms.CharField(
        max_length=1000,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )


class NamesForm(forms.ModelForm):
    class Meta:
        model = User
        fields = ("first_name", "last_name")


class ForgottenPasswordForm(forms.Form):
    email = forms.EmailField(max_length=254, widget=forms.EmailInput(attrs={"autocomplete": "email"}))
