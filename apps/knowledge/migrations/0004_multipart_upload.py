from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('knowledge', '0003_content_recipe'),
    ]

    operations = [
        migrations.AddField(
            model_name='file',
            name='multipart_upload_id',
            field=models.CharField(blank=True, default='', editable=False, help_text="The object store's, while parts arrive.", max_length=1024),
            preserve_default=False,
        ),
    ]
