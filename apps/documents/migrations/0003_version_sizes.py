"""How large the versions of documents are, which plans may bound."""

from django.db import migrations, models

BYTES = {"postgresql": "octet_length(content)", "sqlite": "length(CAST(content AS BLOB))"}


def measure(apps, schema_editor):
    table = schema_editor.quote_name(apps.get_model("documents", "DocumentVersion")._meta.db_table)
    schema_editor.execute(f"UPDATE {table} SET size_bytes = {BYTES[schema_editor.connection.vendor]}")  # noqa: S608


class Migration(migrations.Migration):
    dependencies = [("documents", "0002_folded_titles")]
    operations = [
        migrations.AddField(
            model_name="documentversion",
            name="size_bytes",
            field=models.PositiveIntegerField(default=0, help_text="Of its content, in UTF-8."),
        ),
        migrations.RunPython(measure, migrations.RunPython.noop, elidable=True),
        migrations.AddIndex(
            model_name="documentversion",
            index=models.Index(fields=["organization", "size_bytes"], name="document_version_storage"),
        ),
    ]
