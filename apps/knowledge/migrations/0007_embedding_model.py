from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("knowledge", "0006_turn_index"),
    ]

    operations = [
        migrations.AddField(
            model_name="knowledgebase",
            name="embedding_model",
            field=models.CharField(
                default="all-minilm-l6-v2", editable=False, help_text="Whose vectors searches read.", max_length=60
            ),
            preserve_default=False,
        ),
    ]
