import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("knowledge", "0011_download_links"),
        ("orgs", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="AttributeUpdate",
            fields=[
                (
                    "file",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to="knowledge.file",
                    ),
                ),
                ("changes", models.PositiveIntegerField(default=1)),
                (
                    "held_until",
                    models.DateTimeField(help_text="Somebody tells it now: one at a time.", null=True),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="orgs.organization"
                    ),
                ),
            ],
        ),
    ]
