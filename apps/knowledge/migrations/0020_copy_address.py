"""A copy remembers where it was asked for, for the audit log of what workers make for it."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("knowledge", "0019_folded_names")]
    operations = [
        migrations.AddField(
            model_name="copyjob",
            name="address",
            field=models.GenericIPAddressField(help_text="Where it was asked for.", null=True),
        ),
    ]
