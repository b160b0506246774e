"""An agent may have a personal knowledge base."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("knowledge", "0015_copy_listed_until")]
    operations = [
        migrations.AddField(
            model_name="knowledgebase",
            name="agent_id",
            field=models.CharField(
                editable=False,
                help_text="The agent whose personal knowledge base it is.",
                max_length=40,
                null=True,
                unique=True,
            ),
        ),
    ]
