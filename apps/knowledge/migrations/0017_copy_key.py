"""A copy remembers the key it was asked for with."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("knowledge", "0016_agents_own")]
    operations = [
        migrations.AddField(
            model_name="copyjob",
            name="key_id",
            field=models.CharField(
                blank=True, default="", help_text="The API key it was asked for with.", max_length=40
            ),
            preserve_default=False,
        ),
    ]
