"""What happened to personal knowledge bases and their files, before events said so, is marked as theirs."""

from django.db import migrations
from django.db.models import OuterRef, Subquery, Value
from django.db.models.functions import Coalesce

NOBODY = "nobody"


def open_events(apps, schema_editor):
    """Events are append-only by trigger, which every migration makes anew when all are done."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP TRIGGER IF EXISTS event_append_only ON events_event")
    else:
        schema_editor.execute("DROP TRIGGER IF EXISTS event_unchanged")


def mark_personal(apps, schema_editor):
    """In one pass: no index leads to a knowledge base's events."""
    bases = apps.get_model("knowledge", "KnowledgeBase").objects.filter(type="PERSONAL")
    owner = bases.filter(pk=OuterRef("knowledge_base_id")).values(whose=Coalesce("creator_id", Value(NOBODY)))
    events = apps.get_model("events", "Event").objects.filter(personal_to="")
    events.filter(knowledge_base_id__in=bases.values("pk")).update(personal_to=Subquery(owner))


class Migration(migrations.Migration):
    dependencies = [("knowledge", "0022_former_members"), ("events", "0003_personal_events")]
    operations = [
        migrations.RunPython(open_events, migrations.RunPython.noop),
        migrations.RunPython(mark_personal, migrations.RunPython.noop),
    ]
