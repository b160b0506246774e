import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

STATUSES = ["QUEUED", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED"]
IS_UNFINISHED = models.Q(status__in=("QUEUED", "RUNNING"))


class Migration(migrations.Migration):
    dependencies = [
        ("knowledge", "0013_storage_index"),
        ("orgs", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="Reembedding",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("from_model", models.CharField(max_length=60)),
                ("to_model", models.CharField(max_length=60)),
                (
                    "status",
                    models.CharField(
                        choices=[(status, status.capitalize()) for status in STATUSES],
                        default="QUEUED",
                        max_length=10,
                    ),
                ),
                ("error", models.TextField(blank=True, help_text="Why it failed, or what it waits for.")),
                ("files_total", models.PositiveIntegerField(default=0)),
                ("files_done", models.PositiveIntegerField(default=0)),
                ("chunks_done", models.PositiveIntegerField(default=0)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("ended_at", models.DateTimeField(null=True)),
                ("purge_after", models.DateTimeField(null=True)),
                ("purged_at", models.DateTimeField(null=True)),
                ("claims", models.PositiveIntegerField(default=0)),
                ("lease_owner", models.CharField(blank=True, max_length=200)),
                ("lease_expires_at", models.DateTimeField(null=True)),
                ("failures", models.PositiveSmallIntegerField(default=0, help_text="In a row.")),
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
                    "knowledge_base",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="reembeddings",
                        to="knowledge.knowledgebase",
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
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(status__in=STATUSES), name="reembedding_status_known"
                    ),
                    models.UniqueConstraint(
                        fields=["knowledge_base"], condition=IS_UNFINISHED, name="reembedding_one_at_a_time"
                    ),
                ],
                "indexes": [
                    models.Index(fields=["served_at"], condition=IS_UNFINISHED, name="reembedding_turn"),
                    models.Index(
                        fields=["purge_after"],
                        condition=models.Q(purge_after__isnull=False, purged_at__isnull=True),
                        name="reembedding_to_purge",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="ReembeddedFile",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("revision", models.PositiveIntegerField()),
                ("chunk_count", models.PositiveIntegerField()),
                (
                    "file",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="knowledge.file"
                    ),
                ),
                (
                    "reembedding",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="files",
                        to="knowledge.reembedding",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=["reembedding", "file"], name="reembedded_once_per_file")
                ],
            },
        ),
    ]
