"""A key that was made by a key names it, and ends with it. Of the keys that are there it is not known."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("orgs", "0008_token_budget")]
    operations = [
        migrations.AddField(
            model_name="apikey",
            name="made_by",
            field=models.CharField(
                blank=True,
                default="",
                editable=False,
                help_text="The key that made it, and that it ends with.",
                max_length=40,
            ),
            preserve_default=False,
        ),
    ]
