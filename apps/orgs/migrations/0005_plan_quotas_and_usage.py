"""Plans bound what an organization stores, how often it calls is kept within what can be counted exactly, and its
usage has rows."""

import django.core.validators
import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

ALL_FILES = "Of all files together. Empty: no limit."
EXACT = "Empty: no limit. At most 100000: each call is remembered, so that the window is exact."
COUNTED = [django.core.validators.MaxValueValidator(100_000)]


def requests(name):
    return migrations.AlterField(
        model_name="plan",
        name=name,
        field=models.PositiveIntegerField(blank=True, help_text=EXACT, null=True, validators=COUNTED),
    )


def quota(name, field):
    return migrations.AddField(
        model_name="plan", name=name, field=field(blank=True, help_text=ALL_FILES, null=True)
    )


def organization():
    return models.ForeignKey(
        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="orgs.organization"
    )


class Migration(migrations.Migration):
    dependencies = [("orgs", "0004_key_scopes_per_verb")]
    operations = [
        requests("requests_per_minute"),
        requests("requests_per_hour"),
        requests("requests_per_day"),
        quota("max_storage_bytes", models.PositiveBigIntegerField),
        quota("max_files", models.PositiveIntegerField),
        quota("max_chunks", models.PositiveBigIntegerField),
        migrations.CreateModel(
            name="DailyUsage",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("day", models.DateField()),
                ("key_id", models.CharField(blank=True, max_length=40)),
                ("requests", models.PositiveBigIntegerField(default=0)),
                ("tokens", models.PositiveBigIntegerField(default=0)),
                ("organization", organization()),
            ],
            options={
                "ordering": ["day", "key_id"],
                "verbose_name_plural": "daily usage",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization", "day", "key_id"), name="usage_once_per_day_and_key"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="DailyStorage",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("day", models.DateField()),
                ("files", models.PositiveBigIntegerField()),
                ("size_bytes", models.PositiveBigIntegerField()),
                ("chunks", models.PositiveBigIntegerField()),
                ("organization", organization()),
            ],
            options={
                "ordering": ["day"],
                "verbose_name_plural": "daily storage",
                "constraints": [
                    models.UniqueConstraint(fields=("organization", "day"), name="storage_once_per_day")
                ],
            },
        ),
        migrations.CreateModel(
            name="UsageBatch",
            fields=[
                ("id", models.CharField(max_length=40, primary_key=True, serialize=False)),
                ("written_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
        ),
    ]
