from django.db import migrations


def name_english(apps, schema_editor):
    """What was indexed before languages were told apart has English terms, whatever language it is in."""
    File = apps.get_model("knowledge", "File")
    KnowledgeBase = apps.get_model("knowledge", "KnowledgeBase")
    indexed = File.objects.filter(live_revision__gt=0)
    indexed.update(languages=["en"])
    KnowledgeBase.objects.filter(pk__in=indexed.values("knowledge_base_id")).update(languages=["en"])


class Migration(migrations.Migration):
    dependencies = [
        ("knowledge", "0008_languages"),
    ]

    operations = [
        migrations.RunPython(name_english, migrations.RunPython.noop, elidable=True),
    ]
