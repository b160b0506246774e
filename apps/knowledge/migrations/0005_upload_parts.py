from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('knowledge', '0004_multipart_upload'),
    ]

    operations = [
        migrations.AddField(
            model_name='file',
            name='part_bytes',
            field=models.BigIntegerField(editable=False, help_text='Of every part but the last, for an upload in parts.', null=True),
        ),
        migrations.AddField(
            model_name='tombstone',
            name='multipart_upload_id',
            field=models.CharField(blank=True, default='', help_text='Of the whole file: parts that are to go too.', max_length=1024),
            preserve_default=False,
        ),
        migrations.AddIndex(
            model_name='file',
            index=models.Index(condition=models.Q(('multipart_upload_id', ''), _negated=True), fields=['status'], name='file_with_parts'),
        ),
    ]
