"""Plans bound what an organization keeps of documents."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("orgs", "0009_key_maker")]
    operations = [
        migrations.AddField(
            model_name="plan",
            name="max_documents",
            field=models.PositiveIntegerField(blank=True, help_text="Empty: no limit.", null=True),
        ),
        migrations.AddField(
            model_name="plan",
            name="max_document_bytes",
            field=models.PositiveBigIntegerField(
                blank=True,
                help_text="Of all documents together, every version counted. Empty: no limit.",
                null=True,
            ),
        ),
    ]
