"""Knowledge bases: made, changed, published, given another embedding model, copied."""

from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest

from apps.console.organization.base import OrganizationAdmin, RowForm, RowPage, reachable
from apps.console.organization.choices import OcrLanguagesField
from apps.console.organization.links import Link, api_url, list_url
from apps.console.organization.reach import access_of, organizations_where
from apps.console.organization.site import site
from apps.etl.models import EtlConfig
from apps.knowledge.copying.start import copy_knowledge_base
from apps.knowledge.knowledge_bases import create_knowledge_base, delete_knowledge_base, update_knowledge_base
from apps.knowledge.models import CopyJob, File, KnowledgeBase, Reembedding
from apps.knowledge.reembedding.requests import reembed
from apps.orgs.access import Access, access_to
from apps.orgs.roles import Ability
from apps.retrieval.embedding.registry import MODELS

MODEL_CHOICES = [(name, name) for name in MODELS]
COPYING = (Ability.KB_CREATE, Ability.FILES_WRITE)  # in the organization that is copied to


class KnowledgeBaseForm(ModelForm):
    llm_description = forms.CharField(
        max_length=4000,
        widget=forms.Textarea(attrs={"rows": 3}),
        label="Description",
        help_text="Tells a language model what is in here and when to search it.",
    )
    ocr_languages = OcrLanguagesField(
        required=False,
        label="OCR languages",
        help_text="What scans and pictures are read as: Tesseract's names, like eng, deu. Empty: the server's.",
    )

    class Meta:
        model = KnowledgeBase
        fields = ("title", "llm_description", "ocr_languages", "is_public")


class NewKnowledgeBaseForm(KnowledgeBaseForm):
    model = forms.ChoiceField(
        label="Embedding model", choices=[("", "the server's default"), *MODEL_CHOICES], required=False
    )

    class Meta(KnowledgeBaseForm.Meta):
        fields = ("type", "title", "llm_description", "ocr_languages", "model")  # type: ignore[assignment]


class ReembedForm(RowForm):
    model = forms.ChoiceField(choices=MODEL_CHOICES)


class CopyKnowledgeBaseForm(RowForm):
    organization_id = forms.ChoiceField(label="Organization")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        rows = organizations_where(self.access.user, *COPYING)
        cast(forms.ChoiceField, self.fields["organization_id"]).choices = [(one.pk, one.name) for one in rows]


@admin.register(KnowledgeBase, site=site)
class KnowledgeBaseAdmin(OrganizationAdmin):
    """The organization's, and one's own personal ones."""

    reads, adds = Ability.KB_READ, Ability.KB_CREATE
    changes = deletes = Ability.KB_MANAGE
    form, add_form = KnowledgeBaseForm, NewKnowledgeBaseForm
    list_display = (
        "title",
        "id",
        "type",
        "is_default",
        "is_public",
        "embedding_model",
        "creator",
        "created_at",
    )
    list_filter = ("type", "is_public", "embedding_model")
    list_select_related = ("creator",)
    search_fields = ("title", "llm_description", "=id")
    ordering = ("created_at", "id")
    readonly_fields = ("id", "type", "is_default", "embedding_model", "creator", "created_at", "updated_at")
    fields = ("title", "llm_description", "ocr_languages", "is_public", *readonly_fields)
    pages = (
        RowPage(
            slug="reembed",
            title="Embedding model",
            ability=Ability.KB_MANAGE,
            carry_out=lambda admin, request, row, said: admin.reembed(request, row, said["model"]),
            form=ReembedForm,
            explanation="In the background; searches go on with the old model until everything is there.",
        ),
        RowPage(
            slug="copy-to",
            title="Copy to",
            ability=Ability.FILES_READ,
            carry_out=lambda admin, request, row, said: admin.copy(request, row, said["organization_id"]),
            form=CopyKnowledgeBaseForm,
            explanation="With all its files, in the background; nothing is embedded again.",
        ),
    )

    def visible(self, access: Access) -> QuerySet[KnowledgeBase]:
        return reachable(access)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return super().get_fields(request, obj) if obj else NewKnowledgeBaseForm.Meta.fields

    def create(self, access: Access, said: dict[str, Any]) -> KnowledgeBase:
        said["embedding_model"] = said.pop("model")
        return create_knowledge_base(organization=access.organization, creator=access.user, **said)

    def update(self, access: Access, row: KnowledgeBase, form: Any) -> None:
        changes = {name: form.cleaned_data[name] for name in form.changed_data}
        if "is_public" in changes:
            access.require(Ability.KB_PUBLISH)
        update_knowledge_base(row, actor_id=access.user.pk, **changes)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        names, counts, denied, _ = super().get_deleted_objects(rows := list(objs), request)
        return names, counts, denied, [f"{row}, the default library" for row in rows if row.is_default]

    def delete_row(self, request: HttpRequest, row: KnowledgeBase) -> None:
        delete_knowledge_base(row, actor_id=access_of(request).user.pk)

    def reembed(self, request: HttpRequest, row: KnowledgeBase, model: str) -> None:
        reembed(row, model, actor_id=access_of(request).user.pk)
        self.message_user(request, f"Its passages are being embedded by {model}.", messages.SUCCESS)

    def copy(self, request: HttpRequest, row: KnowledgeBase, organization_id: str) -> None:
        access = access_of(request)
        target = access_to(organization_id, user=access.user, key=None)
        for ability in COPYING:
            target.require(ability)
        made, job = copy_knowledge_base(row, target=target.organization, creator=access.user)
        self.message_user(request, f"{made.pk} in {target.organization} is being filled by {job.pk}.")

    def links(self, request: HttpRequest, row: KnowledgeBase) -> list[Link]:
        path = api_url(request, "knowledgebases", row.pk)
        return [
            ("Files", list_url(File, knowledge_base=row.pk)),
            ("Upload", f"{path}/files/upload-url"),
            ("Search", f"{path}/search"),
            ("ETLs", list_url(EtlConfig, knowledge_base=row.pk)),
            ("Copies", list_url(CopyJob, target_knowledge_base_id=row.pk)),
            ("Switches of model", list_url(Reembedding, knowledge_base=row.pk)),
        ]
