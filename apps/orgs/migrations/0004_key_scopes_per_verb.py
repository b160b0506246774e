"""A key's scopes become one per verb, and each old one the verbs that it stood for. Keys can be bound to knowledge
bases, and keep their secret before a rotation for a while."""

from django.db import migrations, models

VERBS = {
    "read": ["org.read", "members.read", "kb.read", "kb.search", "files.read"],
    "write": ["kb.create", "kb.manage", "files.write"],
    "manage": ["org.leave", "org.manage", "members.manage", "keys.own", "keys.manage", "audit.read"],
    "own": ["owners.manage", "org.delete"],
}


def divide_scopes(apps, schema_editor):
    ApiKey = apps.get_model("orgs", "ApiKey")
    for key in ApiKey.objects.all().iterator():
        verbs = {verb for scope in key.scopes for verb in VERBS.get(scope, [scope])}
        ApiKey.objects.filter(pk=key.pk).update(scopes=sorted(verbs))


class Migration(migrations.Migration):
    dependencies = [("orgs", "0003_plan_file_limits")]
    operations = [
        migrations.AddField(
            model_name="apikey",
            name="knowledge_base_ids",
            field=models.JSONField(
                blank=True, help_text="The only knowledge bases it reaches; null: all.", null=True
            ),
        ),
        migrations.AddField(
            model_name="apikey",
            name="previous_secret_hash",
            field=models.CharField(editable=False, max_length=64, null=True, unique=True),
        ),
        migrations.AddField(
            model_name="apikey",
            name="previous_secret_expires_at",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.RunPython(divide_scopes, migrations.RunPython.noop),
    ]
