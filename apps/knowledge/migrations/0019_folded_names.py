import unicodedata

from django.db import migrations, models

BATCH = 1000


def fold(apps, _):
    File = apps.get_model("knowledge", "File")
    rows = File.objects.only("pk", "file_name").order_by("pk")
    last = ""
    while batch := list(rows.filter(pk__gt=last)[:BATCH]):
        for row in batch:
            row.file_name_folded = _folded(row.file_name)
        File.objects.bulk_update(batch, ["file_name_folded"])
        last = batch[-1].pk


def _folded(text):
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())


class Migration(migrations.Migration):
    dependencies = [
        ("knowledge", "0018_reserved_bytes"),
    ]

    operations = [
        migrations.AddField(
            model_name="file",
            name="file_name_folded",
            field=models.TextField(blank=True, default="", editable=False),
        ),
        migrations.RunPython(fold, migrations.RunPython.noop, elidable=True),
    ]
