from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("knowledge", "0014_reembedding"),
    ]

    operations = [
        migrations.AddField(
            model_name="copyjob",
            name="listed_until_at",
            field=models.DateTimeField(help_text="When that one was made.", null=True),
        ),
    ]
