"""Events become the audit log: they tell where they came from, and outlive their organization."""

import django.db.models.deletion
from django.db import migrations, models
from django.db.models import Q


def mark_what_somebody_did(apps, schema_editor):
    apps.get_model("events", "Event").objects.exclude(actor_id="").update(is_audit=True)


def drop_trigger(apps, schema_editor):
    """Of apps/events/append_only.py. SQLite drops its own with the tables that it rebuilds."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP TRIGGER IF EXISTS event_append_only ON events_event")


class Migration(migrations.Migration):
    dependencies = [("events", "0001_initial"), ("orgs", "0001_initial")]
    operations = [
        migrations.CreateModel(
            name="Purge",
            fields=[("id", models.BigAutoField(primary_key=True, serialize=False))],
        ),
        migrations.AlterField(
            model_name="event",
            name="organization",
            field=models.ForeignKey(
                db_constraint=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to="orgs.organization",
            ),
        ),
        migrations.AddField(
            model_name="event",
            name="key_id",
            field=models.CharField(blank=True, default="", help_text="The API key it was done with.", max_length=40),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="event",
            name="address",
            field=models.GenericIPAddressField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="event",
            name="user_agent",
            field=models.CharField(blank=True, default="", max_length=300),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="event",
            name="is_audit",
            field=models.BooleanField(
                default=False, help_text="Somebody's deed, told in the audit log; else the system's own."
            ),
        ),
        migrations.RunPython(mark_what_somebody_did, migrations.RunPython.noop),
        migrations.AddIndex(
            model_name="event",
            index=models.Index(fields=["organization", "id"], condition=Q(is_audit=True), name="event_audit"),
        ),
        migrations.RunPython(migrations.RunPython.noop, drop_trigger),
    ]
