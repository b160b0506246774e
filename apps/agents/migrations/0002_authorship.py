import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("agents", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    # Who saved last what is there already is not known: it reaches no personal knowledge base until it is saved again.
    operations = [
        *(
            migrations.AddField(
                model_name=model,
                name="saved_by",
                field=models.ForeignKey(
                    editable=False,
                    help_text="Who said last all that it does: in no run does it reach anybody else's personal "
                    "knowledge base. Null: nobody by themselves.",
                    null=True,
                    on_delete=django.db.models.deletion.SET_NULL,
                    related_name="+",
                    to=settings.AUTH_USER_MODEL,
                ),
            )
            for model in ("agent", "actionchain")
        ),
        *(
            migrations.AddField(
                model_name=model,
                name="abilities",
                field=models.JSONField(
                    editable=False,
                    help_text="What it may do at most, by the keys it was saved with; null: all that who starts it "
                    "may.",
                    null=True,
                ),
            )
            for model in ("agent", "actionchain")
        ),
        migrations.AddField(
            model_name="run",
            name="personal_of",
            field=models.CharField(
                blank=True,
                default="",
                help_text="The user whose personal knowledge bases it may reach; empty: nobody's.",
                max_length=40,
            ),
            preserve_default=False,
        ),
        migrations.AlterField(
            model_name="run",
            name="abilities",
            field=models.JSONField(
                help_text="What it may do at most, by the keys that started it and saved its chain; null: all its user "
                "may.",
                null=True,
            ),
        ),
    ]
