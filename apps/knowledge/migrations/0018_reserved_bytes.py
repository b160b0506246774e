"""Room is held for the parts of unfinished uploads, and summed from the index as what is stored is."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("knowledge", "0017_copy_key")]
    operations = [
        migrations.AddField(
            model_name="file",
            name="reserved_bytes",
            field=models.PositiveBigIntegerField(
                default=0,
                editable=False,
                help_text="Room held for parts that may be in the store, or may still come.",
            ),
        ),
        migrations.RemoveIndex(model_name="file", name="file_storage"),
        migrations.AddIndex(
            model_name="file",
            index=models.Index(
                fields=["organization", "size_bytes", "chunk_count", "reserved_bytes"], name="file_storage"
            ),
        ),
    ]
