"""What admin pages of several apps are made of."""

from typing import Any, ClassVar

from django.contrib import admin
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse

from apps.base.errors import CommonplaceError


class ReadOnlyAdmin(admin.ModelAdmin):
    """Rows that are written by services only: to be read here, never added, changed or deleted."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ServiceAdmin(admin.ModelAdmin):
    """Rows whose forms are saved by services: what one refuses is told in the form, which keeps what was typed, and
    nothing of it is saved."""

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return super().changeform_view(request, *args, **kwargs)
        except CommonplaceError as error:  # which rolled the form's transaction back
            request.refusal = error  # type: ignore[attr-defined]  # get_form finds it
            return super().changeform_view(request, *args, **kwargs)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change, **kwargs)
        refusal = getattr(request, "refusal", None)
        if refusal is None:
            return form
        metaclass: Any = type(form)
        return metaclass(form.__name__, (_RefusedForm, form), {"refusal": refusal})


def show_refusal(form: Any, refusal: CommonplaceError) -> None:
    """Add it to a form that was found valid, at the fields it names: ``steps[1].kind`` is told at ``steps``, and
    ``agent_id`` at ``agent``."""
    told = False
    for place, sentences in refusal.fields.items():
        name = place.partition("[")[0]
        for candidate in (name, name.removesuffix("_id")):
            if candidate in form.fields:
                prefix = "" if place in {name, candidate} else f"{place}: "
                form.add_error(candidate, [f"{prefix}{sentence}" for sentence in sentences])
                told = True
                break
    if not told:
        form.add_error(None, refusal.message)


class _RefusedForm(ModelForm):
    refusal: ClassVar[CommonplaceError]

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        show_refusal(self, self.refusal)
        return cleaned
