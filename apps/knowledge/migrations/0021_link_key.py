"""A download link remembers the key it was made with."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("knowledge", "0020_copy_address")]
    operations = [
        migrations.AddField(
            model_name="downloadlink",
            name="key_id",
            field=models.CharField(
                blank=True, default="", help_text="The API key it was made with, and that it ends with.", max_length=40
            ),
            preserve_default=False,
        ),
    ]
