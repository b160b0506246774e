"""What is personal has names that are its owner's to read, in the audit log too."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("events", "0002_audit_log")]
    operations = [
        migrations.AddField(
            model_name="event",
            name="personal_to",
            field=models.CharField(
                blank=True,
                default="",
                help_text="Of what is personal: the only user whom the audit log tells its names. Empty: it is not.",
                max_length=40,
            ),
            preserve_default=False,
        ),
    ]
