"""How many runs of an organization wait is counted from an index, whatever became of the others."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("agents", "0003_retry_bounds")]
    operations = [
        migrations.AddIndex(
            model_name="run",
            index=models.Index(fields=["status", "organization"], name="run_status"),
        ),
    ]
