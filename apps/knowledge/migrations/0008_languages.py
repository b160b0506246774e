from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("knowledge", "0007_embedding_model"),
    ]

    operations = [
        migrations.AddField(
            model_name="file",
            name="languages",
            field=models.JSONField(
                default=list, editable=False, help_text="ISO 639-1 codes: of the live revision's text."
            ),
        ),
        migrations.AddField(
            model_name="knowledgebase",
            name="languages",
            field=models.JSONField(
                default=list, editable=False, help_text="ISO 639-1 codes: of the files' text, as it was indexed."
            ),
        ),
    ]
