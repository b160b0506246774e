"""What the site's admins have in common: who may what, which rows there are, and that services do the work."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.db.models import Field, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path

from apps.base.admin import ServiceAdmin, show_refusal
from apps.base.errors import CommonplaceError
from apps.console.organization.links import Link, row_url
from apps.console.organization.reach import access_of
from apps.events.audit import told_to
from apps.events.models import Event
from apps.knowledge.admin import ServiceDeletionMixin
from apps.knowledge.models import KnowledgeBase
from apps.orgs.access import Access
from apps.orgs.roles import Ability

HISTORY_LENGTH = 200


class RowForm(forms.Form):
    """The form of a page of one row. ``access`` is the caller's."""

    def __init__(self, *args: Any, access: Access, row: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.access, self.row = access, row


@dataclass(frozen=True, slots=True)
class RowPage:
    """A deed done to one row, from a page of its own. ``carry_out(admin, request, row, cleaned)`` returns what to
    answer, or None to go back to the row."""

    slug: str
    title: str
    ability: Ability
    carry_out: Callable[[Any, HttpRequest, Any, dict[str, Any]], HttpResponse | None]
    form: type[RowForm] = RowForm
    is_for: Callable[[Access, Any], bool] = lambda _access, _row: True
    explanation: str = ""


class OrganizationAdmin(ServiceDeletionMixin, ServiceAdmin):
    """Rows of one organization. ``visible`` says which of them the caller sees; ``reads``, ``adds``, ``changes`` and
    ``deletes`` name the ability that each takes, None: it is not done here. ``steers`` is that of the list's actions.

    Nothing is saved here: ``create``, ``update`` and ``delete_row`` call the services that the API calls.
    """

    reads: ClassVar[Ability]
    adds: ClassVar[Ability | None] = None
    changes: ClassVar[Ability | None] = None
    deletes: ClassVar[Ability | None] = None
    steers: ClassVar[Ability | None] = None
    add_form: ClassVar[type[forms.ModelForm] | None] = None
    pages: ClassVar[tuple[RowPage, ...]] = ()
    saves_unchanged = False  # whether saving a row as it is means something
    change_form_template = "manage/change_form.html"
    change_list_template = "manage/change_list.html"
    list_per_page = 50
    show_full_result_count = False

    # --- who may what ---

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.reads in access_of(request).abilities

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.adds in access_of(request).abilities

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.changes in access_of(request).abilities

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.deletes in access_of(request).abilities

    def has_steer_permission(self, request: HttpRequest) -> bool:
        return self.steers in access_of(request).abilities

    # --- which rows ---

    def visible(self, access: Access) -> QuerySet[Any]:
        """All that the caller sees, of the organization in scope."""
        rows: QuerySet[Any] = self.model._default_manager.all()
        return rows

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return self.visible(access_of(request)).order_by(*(self.get_ordering(request) or ()))

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Raises Http404: what the caller does not see looks like what does not exist."""
        row = super().get_object(request, object_id, from_field)
        if row is None:
            raise Http404
        return row

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Forms name what they choose from; none is to offer all the rows of a table because it forgot to."""
        raise NotImplementedError(f"{self.form.__name__}: declare {db_field.name}, with the rows it offers.")

    # --- forms ---

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        if obj is None and self.add_form is not None:
            kwargs["form"] = self.add_form
        form = super().get_form(request, obj, change, **kwargs)
        form.access = access_of(request)
        return form

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.readonly_fields if obj else ()

    def create(self, access: Access, said: dict[str, Any]) -> Any:
        raise NotImplementedError

    def update(self, access: Access, row: Any, form: Any) -> None:
        raise NotImplementedError

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        access = access_of(request)
        if not change:
            obj.pk = self.create(access, dict(form.cleaned_data)).pk
            obj.refresh_from_db()
        elif form.changed_data or self.saves_unchanged:
            self.update(access, self.visible(access).get(pk=obj.pk), form)

    # --- pages of one row ---

    def get_urls(self) -> list[Any]:
        meta = self.opts
        own = [
            path(
                f"<path:object_id>/{page.slug}/",
                self.admin_site.admin_view(partial(self._row_page, page=page)),
                name=f"{meta.app_label}_{meta.model_name}_{page.slug}",
            )
            for page in self.pages
        ]
        return [*own, *super().get_urls()]

    def _row_page(self, request: HttpRequest, object_id: str, *, page: RowPage) -> HttpResponse:
        access = access_of(request)
        access.require(self.reads)
        access.require(page.ability)
        row = self.get_object(request, unquote(object_id))
        if not page.is_for(access, row):
            raise Http404
        form = page.form(request.POST if request.method == "POST" else None, access=access, row=row)
        if form.is_valid():
            try:
                answer = page.carry_out(self, request, row, form.cleaned_data)
            except CommonplaceError as refusal:
                show_refusal(form, refusal)
            else:
                return answer or HttpResponseRedirect(row_url(self.model, row.pk))
        context = {"title": page.title, "page": page, "form": form, "original": row, "opts": self.opts}
        return TemplateResponse(
            request, "manage/row_page.html", self.admin_site.each_context(request) | context
        )

    def tell_once(
        self, request: HttpRequest, row: Any, *, title: str, secret: str, hint: str
    ) -> HttpResponse:
        """A page that tells a secret: there is no address that it could be had at again."""
        context = {"title": title, "secret": secret, "hint": hint, "original": row, "opts": self.opts}
        answer = TemplateResponse(
            request, "manage/secret.html", self.admin_site.each_context(request) | context
        )
        answer["Cache-Control"] = "no-store"
        return answer

    # --- where pages lead ---

    def links(self, request: HttpRequest, row: Any) -> Iterable[Link]:
        """To what belongs to a row."""
        return ()

    def list_links(self, request: HttpRequest) -> Iterable[Link]:
        """From the list."""
        return ()

    def _pages_of(self, request: HttpRequest, row: Any) -> Iterator[Link]:
        access = access_of(request)
        for page in self.pages:
            if page.ability in access.abilities and page.is_for(access, row):
                yield page.title, row_url(self.model, row.pk, page.slug)

    def render_change_form(
        self,
        request: HttpRequest,
        context: Any,
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Any = None,
    ) -> Any:
        if obj is not None:
            context["links"] = [*self._pages_of(request, obj), *self.links(request, obj)]
        return super().render_change_form(request, context, add, change, form_url, obj)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        context = {"links": list(self.list_links(request)), **(extra_context or {})}
        return super().changelist_view(request, context)

    # --- what happened ---

    def subject_id(self, row: Any) -> str:
        """What events call it."""
        return str(row.pk)

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """The latest events of the row, instead of Django's own log, which knows only what was done in an admin."""
        access_of(request).require(self.reads)
        row = self.get_object(request, unquote(object_id))
        events = Event.objects.filter(subject_id=self.subject_id(row)).order_by("-pk")[:HISTORY_LENGTH]
        told = [(event, *told_to(event, access_of(request).user.pk)) for event in events]
        context = {"title": f"History of {row}", "events": told, "original": row, "opts": self.opts}
        return TemplateResponse(
            request, "manage/history.html", self.admin_site.each_context(request) | context
        )

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """The service has recorded it, in the audit log."""

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """As above."""

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        """As above."""

    # --- actions ---

    def each(
        self, request: HttpRequest, rows: Iterable[Any], deed: Callable[[Any], object], done: str
    ) -> None:
        """Do it to every row that allows it, and tell of those that do not."""
        count = 0
        for row in rows:
            try:
                deed(row)
                count += 1
            except CommonplaceError as error:
                self.message_user(request, f"{row}: {error.message}", messages.ERROR)
        self.message_user(request, f"{done}: {count}.", messages.SUCCESS if count else messages.WARNING)


class KnowledgeBaseFilter(admin.SimpleListFilter):
    """By knowledge base: those that the caller sees."""

    title = "knowledge base"
    parameter_name = "knowledge_base"
    column = "knowledge_base_id"
    MAX_CHOICES = 100

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        rows = reachable(access_of(request)).order_by("title", "pk")
        return list(rows.values_list("pk", "title")[: self.MAX_CHOICES])

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(**{self.column: self.value()}) if self.value() else queryset


def reachable(access: Access) -> QuerySet[KnowledgeBase]:
    rows: QuerySet[KnowledgeBase] = KnowledgeBase.objects.reachable_by(access)
    return rows


def columns_of(model: Any, *left_out: str) -> tuple[str, ...]:
    """The names of a model's columns, for pages that show a row whole."""
    fields: Iterable[Field[Any, Any]] = model._meta.concrete_fields
    return tuple(field.name for field in fields if field.name not in {"organization", *left_out})
