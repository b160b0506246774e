from functools import partial

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

import apps.base.identifiers

STATUSES = ["QUEUED", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED"]


class Migration(migrations.Migration):
    dependencies = [
        ("knowledge", "0009_english_until_now"),
        ("orgs", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="CopyJob",
            fields=[
                (
                    "id",
                    models.CharField(
                        default=partial(apps.base.identifiers.new_id, "copy"),
                        editable=False,
                        max_length=40,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("source_organization_id", models.CharField(max_length=40)),
                ("source_knowledge_base_id", models.CharField(max_length=40)),
                (
                    "source_file_id",
                    models.CharField(
                        blank=True, help_text="Empty: the whole knowledge base.", max_length=40
                    ),
                ),
                ("target_knowledge_base_id", models.CharField(max_length=40)),
                ("target_file_id", models.CharField(blank=True, max_length=40)),
                (
                    "status",
                    models.CharField(
                        choices=[(status, status.capitalize()) for status in STATUSES],
                        default="QUEUED",
                        max_length=10,
                    ),
                ),
                ("error", models.TextField(blank=True)),
                (
                    "listed_until",
                    models.CharField(
                        blank=True, help_text="The last source file that got a row.", max_length=40
                    ),
                ),
                ("files_total", models.PositiveIntegerField()),
                ("files_done", models.PositiveIntegerField(default=0)),
                ("files_failed", models.PositiveIntegerField(default=0)),
                ("bytes_done", models.BigIntegerField(default=0)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("started_at", models.DateTimeField(null=True)),
                ("finished_at", models.DateTimeField(null=True)),
                ("claims", models.PositiveIntegerField(default=0)),
                ("lease_owner", models.CharField(blank=True, max_length=200)),
                ("lease_expires_at", models.DateTimeField(null=True)),
                (
                    "available_at",
                    models.DateTimeField(
                        default=django.utils.timezone.now, help_text="Not to be claimed before."
                    ),
                ),
                (
                    "served_at",
                    models.DateTimeField(
                        default=django.utils.timezone.now, help_text="When somebody last worked on it."
                    ),
                ),
                (
                    "dispatched_at",
                    models.DateTimeField(
                        default=django.utils.timezone.now, help_text="When a task was last sent."
                    ),
                ),
                (
                    "creator",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="orgs.organization"
                    ),
                ),
            ],
            options={
                "ordering": ["created_at", "id"],
                "indexes": [
                    models.Index(
                        condition=models.Q(status__in=("QUEUED", "RUNNING")),
                        fields=["organization", "served_at"],
                        name="copy_job_turn",
                    ),
                    models.Index(fields=["source_knowledge_base_id"], name="copy_job_source"),
                    models.Index(fields=["target_knowledge_base_id"], name="copy_job_target"),
                    models.Index(fields=["finished_at"], name="copy_job_finished"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(status__in=STATUSES), name="copy_job_status_known"
                    )
                ],
            },
        ),
        migrations.AddField(
            model_name="file",
            name="copy_job",
            field=models.ForeignKey(
                db_index=False,
                editable=False,
                help_text="Waits for this copy to bring bytes and vectors; no worker of the ingest queue takes it.",
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="files",
                to="knowledge.copyjob",
            ),
        ),
        migrations.AddField(
            model_name="file",
            name="copied_from",
            field=models.CharField(
                blank=True, editable=False, help_text="The file it is a copy of.", max_length=40
            ),
        ),
        migrations.AddIndex(
            model_name="file",
            index=models.Index(
                condition=models.Q(copy_job__isnull=False), fields=["copy_job"], name="file_being_copied"
            ),
        ),
    ]
