from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("knowledge", "0005_upload_parts")]

    operations = [
        migrations.AddIndex(
            model_name="file",
            index=models.Index(
                condition=models.Q(("status", "ENQUEUED")),
                fields=["organization", "available_at", "id"],
                name="file_turn",
            ),
        ),
    ]
