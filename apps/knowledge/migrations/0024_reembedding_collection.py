"""A switch of embedding models says where its vectors are: a model's collection is another one after an upgrade."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("knowledge", "0023_personal_events")]
    operations = [
        migrations.AddField(
            model_name="reembedding",
            name="to_collection",
            field=models.CharField(
                blank=True,
                default="",
                help_text="Where its vectors are, those of the model's revision then.",
                max_length=200,
            ),
            preserve_default=False,
        ),
    ]
