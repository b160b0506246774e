"""ETLs, which of their firings happened, and what sent a file on its way."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from apps.agents.models import ActionChain, Agent
from apps.base import identifiers
from apps.etl.conditions import Condition, conditions_of
from apps.knowledge.models import File, KnowledgeBase
from apps.orgs.tenancy import TenantManager, TenantModel


class EtlType(models.TextChoices):
    AGENT = "agent"
    ACTION_CHAIN = "action-chain"


class EtlConfig(TenantModel):
    """What is to be run for a file of a knowledge base once its conditions come to hold.

    Its runs have the rights of ``acts_for``, who saved it last, as far as ``abilities`` (null: all) of the key it was
    saved with go: whoever changes what it does, does it with their own rights.
    """

    id = models.CharField(
        primary_key=True, max_length=identifiers.MAX_LENGTH, default=identifiers.new_etl_id, editable=False
    )
    knowledge_base = models.ForeignKey(KnowledgeBase, on_delete=models.CASCADE, related_name="etls")
    etl_type = models.CharField(max_length=12, choices=EtlType.choices)
    # RESTRICT: one that is in use can't be deleted, except with the organization.
    agent = models.ForeignKey(Agent, on_delete=models.RESTRICT, null=True, blank=True, related_name="etls")
    action_chain = models.ForeignKey(
        ActionChain, on_delete=models.RESTRICT, null=True, blank=True, related_name="etls"
    )
    prompt = models.TextField(blank=True, max_length=20_000)
    prompt_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        editable=False,
        related_name="+",
        help_text="Who wrote the prompt, which may be another than who saved the ETL last.",
    )
    conditions = models.JSONField(
        default=list, blank=True, help_text="Empty: it fires when a file becomes READY."
    )
    is_enabled = models.BooleanField(default=True)
    creator = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    acts_for = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        editable=False,
        related_name="+",
        help_text="Who saved it last: its runs have their rights.",
    )
    abilities = models.JSONField(null=True, editable=False)
    key_id = models.CharField(max_length=identifiers.MAX_LENGTH, blank=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    objects = TenantManager()

    class Meta:
        ordering = ["created_at", "id"]
        verbose_name = "ETL"
        constraints = [
            models.CheckConstraint(
                condition=Q(etl_type=EtlType.AGENT, agent__isnull=False, action_chain__isnull=True)
                | Q(etl_type=EtlType.ACTION_CHAIN, agent__isnull=True, action_chain__isnull=False),
                name="etl_has_what_it_runs",
            )
        ]

    def __str__(self) -> str:
        return self.pk

    @property
    def title(self) -> str:
        """What it runs, and when: for people."""
        target = self.agent or self.action_chain
        conditions = " ".join(map(str, self.parsed_conditions)) or "status becomes READY"
        return f"{target.name if target else self.pk}: {conditions}"

    @property
    def warnings(self) -> list[str]:
        """What may not be meant, in sentences."""
        waits = {"status", "pageCount", "chunkCount"}  # which tell that a file was read
        if not self.conditions or any(one.field in waits for one in self.parsed_conditions):
            return []
        return [
            "No condition asks for the status: it can fire before a file has been read. An agent then waits for the "
            "text; other steps do not. Add `status EQUALS READY` to have it fire when there is a text."
        ]

    @property
    def parsed_conditions(self) -> list[Condition]:
        return conditions_of(self.conditions)


class Firing(TenantModel):
    """An ETL's conditions came to hold for a file: written in the transaction that made them hold.

    It waits until its run is started, which is told by ``run_id``, or refused, which is told by ``error``.
    """

    id = models.BigAutoField(primary_key=True)
    etl = models.ForeignKey(EtlConfig, on_delete=models.CASCADE, related_name="firings")
    file = models.ForeignKey(File, on_delete=models.CASCADE, related_name="+")
    file_revision = models.PositiveIntegerField(help_text="The file's last_revision at that moment.")
    cause = models.JSONField(
        null=True, help_text="The run that did it, as its events carry it. Null: no run did."
    )
    run_id = models.CharField(max_length=identifiers.MAX_LENGTH, blank=True)
    error = models.TextField(blank=True)
    attempts = models.PositiveSmallIntegerField(default=0, help_text="To start the run, that failed.")
    created_at = models.DateTimeField(default=timezone.now)
    available_at = models.DateTimeField(help_text="Not to be looked for by the sweep before.")

    objects = TenantManager()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["etl", "file", "file_revision"], name="firing_once_per_revision")
        ]
        indexes = [
            models.Index(  # the sweep: nobody started its run
                fields=["available_at"], condition=Q(run_id="", error=""), name="firing_waiting"
            )
        ]

    def __str__(self) -> str:
        return f"{self.etl_id} for {self.file_id}, revision {self.file_revision}"


class Lineage(TenantModel):
    """The run that made a file, or sent it to be indexed: what workers then do to the file is that run's doing."""

    file = models.OneToOneField(File, on_delete=models.CASCADE, primary_key=True, related_name="+")
    run = models.JSONField(help_text="As the run's events carry it.")

    objects = TenantManager()

    def __str__(self) -> str:
        return f"{self.file_id} by {self.run.get('runId')}"
