"""What an organization stores is summed from an index that holds all that is asked."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("knowledge", "0012_attribute_update")]
    operations = [
        migrations.AddIndex(
            model_name="file",
            index=models.Index(fields=["organization", "size_bytes", "chunk_count"], name="file_storage"),
        ),
    ]
