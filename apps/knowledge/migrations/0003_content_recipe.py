from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('knowledge', '0002_ocr_languages'),
    ]

    operations = [
        migrations.AddField(
            model_name='file',
            name='content_sha256',
            field=models.CharField(blank=True, default='', editable=False, max_length=64),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name='file',
            name='recipe',
            field=models.CharField(blank=True, default='', editable=False, help_text="Names all that decides, beside the bytes, what the live revision's chunks are.", max_length=64),
            preserve_default=False,
        ),
        migrations.AddIndex(
            model_name='file',
            index=models.Index(condition=models.Q(('status', 'READY')), fields=['organization', 'content_sha256', 'recipe'], name='file_same_content'),
        ),
    ]
