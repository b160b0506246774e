from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('knowledge', '0001_initial'),
    ]

    operations = [
        migrations.AddField(
            model_name='knowledgebase',
            name='ocr_languages',
            field=models.JSONField(blank=True, default=list, help_text="Tesseract's names, like eng and deu. Empty: the server's."),
        ),
    ]
