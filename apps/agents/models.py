"""Agents, chains of actions, and the runs that carry either out."""

from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from apps.accounts.models import User
from apps.agents.statuses import UNFINISHED, RunStatus
from apps.base import identifiers
from apps.orgs.tenancy import TenantManager, TenantModel, TenantQuerySet


class Authored(TenantModel):
    """What runs carry out, and who answers for it: see ``authorship.py``."""

    saved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        editable=False,
        related_name="+",
        help_text="Who said last all that it does: in no run does it reach anybody else's personal knowledge base. "
        "Null: nobody by themselves.",
    )
    abilities = models.JSONField(
        null=True,
        editable=False,
        help_text="What it may do at most, by the keys it was saved with; null: all that who starts it may.",
    )

    class Meta:
        abstract = True


class Agent(Authored):
    """Instructions, and what they may be carried out with: knowledge bases and tools."""

    id = models.CharField(
        primary_key=True, max_length=identifiers.MAX_LENGTH, default=identifiers.new_agent_id, editable=False
    )
    creator = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    name = models.CharField(max_length=200)
    instructions = models.TextField(blank=True, max_length=20_000)
    model = models.CharField(
        max_length=200, blank=True, help_text="A language model's name. Empty: the server's."
    )
    knowledge_base_ids = models.JSONField(
        default=list,
        blank=True,
        help_text="What it searches. Empty: the file's knowledge base of each run, and where there is no file all that "
        "are the organization's.",
    )
    tools = models.JSONField(default=list, blank=True, help_text="Names in apps/agents/tools/registry.py.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    objects = TenantManager()

    class Meta:
        ordering = ["created_at", "id"]

    def __str__(self) -> str:
        return self.name


class ActionChain(Authored):
    """Steps that are taken one after the other: ``[{"name", "kind", "parameters"}]``, checked by ``chains.py``."""

    id = models.CharField(
        primary_key=True, max_length=identifiers.MAX_LENGTH, default=identifiers.new_chain_id, editable=False
    )
    creator = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True, max_length=4000)
    steps = models.JSONField(default=list)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    objects = TenantManager()

    class Meta:
        ordering = ["created_at", "id"]

    def __str__(self) -> str:
        return self.name


class RunQuerySet(TenantQuerySet["Run"]):
    def visible_to(self, user: User) -> Self:
        """All but the personal ones of others."""
        return self.filter(Q(is_personal=False) | Q(creator=user))


class Run(TenantModel):
    """One carrying out of an agent or a chain, and what came of it.

    ``steps`` are the chain's as they were when it began, each with what happened: ``name, kind, parameters,
    status, input, output, error, startedAt, finishedAt``; an agent's run has the one step. Agent, chain, ETL and
    file are named, not referenced: the history outlives them. ``claims`` numbers those who worked on it and is the
    fencing token of the latest. ``status`` is changed by ``lifecycle.py`` alone.
    """

    id = models.CharField(
        primary_key=True, max_length=identifiers.MAX_LENGTH, default=identifiers.new_run_id, editable=False
    )
    creator = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    acts_for = models.CharField(
        max_length=identifiers.MAX_LENGTH,
        blank=True,
        help_text="The user whose rights it has; empty: it acts for the organization.",
    )
    abilities = models.JSONField(
        null=True,
        help_text="What it may do at most, by the keys that started it and saved its chain; null: all its user may.",
    )
    personal_of = models.CharField(
        max_length=identifiers.MAX_LENGTH,
        blank=True,
        help_text="The user whose personal knowledge bases it may reach; empty: nobody's.",
    )
    key_id = models.CharField(
        max_length=identifiers.MAX_LENGTH, blank=True, help_text="The API key it was started with."
    )
    retry_abilities = models.JSONField(
        null=True,
        help_text="What who tried it again last may do, which it may not exceed either; null: nobody did.",
    )
    retry_key_id = models.CharField(
        max_length=identifiers.MAX_LENGTH, blank=True, help_text="The API key it was tried again with."
    )
    etl_id = models.CharField(max_length=identifiers.MAX_LENGTH, blank=True)
    agent_id = models.CharField(max_length=identifiers.MAX_LENGTH, blank=True)
    chain_id = models.CharField(max_length=identifiers.MAX_LENGTH, blank=True)
    file_id = models.CharField(max_length=identifiers.MAX_LENGTH, blank=True)
    knowledge_base_id = models.CharField(
        max_length=identifiers.MAX_LENGTH, blank=True, help_text="The file's."
    )
    dedupe_key = models.CharField(
        max_length=200, blank=True, help_text="Whoever starts it twice with the same one starts it once."
    )
    depth = models.PositiveSmallIntegerField(default=0, help_text="How many runs before it led to it.")
    trail = models.JSONField(default=list, help_text="The ETLs that led to it, the first one first.")
    is_personal = models.BooleanField(
        default=False, help_text="It may read a personal knowledge base: seen by who started it only."
    )

    prompt = models.TextField(blank=True)
    input = models.JSONField(default=dict, blank=True)
    status = models.CharField(max_length=10, choices=RunStatus.choices, default=RunStatus.QUEUED)
    steps = models.JSONField(default=list, blank=True)
    output = models.TextField(blank=True)
    error = models.TextField(blank=True)
    error_code = models.CharField(max_length=60, blank=True)
    prompt_tokens = models.PositiveBigIntegerField(default=0)
    completion_tokens = models.PositiveBigIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    # The queue's memory.
    claims = models.PositiveIntegerField(default=0)
    unfinished_attempts = models.PositiveSmallIntegerField(
        default=0, help_text="Claims in a row whose worker vanished."
    )
    transient_failures = models.PositiveSmallIntegerField(default=0, help_text="Of the step that it is at.")
    lease_owner = models.CharField(max_length=200, blank=True)
    lease_expires_at = models.DateTimeField(null=True)
    available_at = models.DateTimeField(default=timezone.now, help_text="Not to be claimed before.")
    dispatched_at = models.DateTimeField(default=timezone.now, help_text="When a task was last sent.")

    objects = TenantManager.from_queryset(RunQuerySet)()

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.CheckConstraint(condition=Q(status__in=RunStatus.values), name="run_status_known"),
            models.CheckConstraint(
                condition=Q(agent_id="", chain_id__gt="") | Q(agent_id__gt="", chain_id=""),
                name="run_of_agent_or_chain",
            ),
            models.CheckConstraint(
                condition=~Q(status=RunStatus.RUNNING) | Q(lease_expires_at__isnull=False),
                name="run_running_has_lease",
            ),
            models.UniqueConstraint(
                fields=["organization", "dedupe_key"], condition=~Q(dedupe_key=""), name="run_once_per_key"
            ),
        ]
        indexes = [
            models.Index(fields=["organization", "-created_at", "-id"], name="run_listing"),
            models.Index(  # an ETL's history
                fields=["etl_id", "-created_at"], condition=~Q(etl_id=""), name="run_of_etl"
            ),
            models.Index(  # a file's history
                fields=["file_id", "-created_at"], condition=~Q(file_id=""), name="run_of_file"
            ),
            models.Index(  # turns, and the sweep
                fields=["organization", "available_at", "id"],
                condition=Q(status__in=UNFINISHED),
                name="run_turn",
            ),
            models.Index(fields=["finished_at"], name="run_finished"),  # forgetting
            # Backpressure: how many wait. Not of these alone, which SQLite would not use for a value that is bound.
            models.Index(fields=["status", "organization"], name="run_status"),
        ]

    def __str__(self) -> str:
        return self.pk
