"""A run that is tried again is bound by who tries it, too."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("agents", "0002_authorship")]
    operations = [
        migrations.AddField(
            model_name="run",
            name="retry_abilities",
            field=models.JSONField(
                help_text="What who tried it again last may do, which it may not exceed either; null: nobody did.",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="run",
            name="retry_key_id",
            field=models.CharField(
                blank=True, default="", help_text="The API key it was tried again with.", max_length=40
            ),
            preserve_default=False,
        ),
        migrations.AlterField(
            model_name="agent",
            name="knowledge_base_ids",
            field=models.JSONField(
                blank=True,
                default=list,
                help_text="What it searches. Empty: the file's knowledge base of each run, and where there is no file "
                "all that are the organization's.",
            ),
        ),
    ]
