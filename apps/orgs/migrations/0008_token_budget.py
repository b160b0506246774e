"""A plan may limit what an organization spends on language models."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("orgs", "0007_members_are_not_deleted")]
    operations = [
        migrations.AddField(
            model_name="plan",
            name="max_tokens_per_month",
            field=models.PositiveBigIntegerField(
                blank=True,
                help_text="Of language models, in a calendar month (UTC). Empty: no limit.",
                null=True,
            ),
        ),
    ]
