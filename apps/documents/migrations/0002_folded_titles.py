import unicodedata

from django.db import migrations, models

BATCH = 1000


def fold(apps, _):
    Document = apps.get_model("documents", "Document")
    rows = Document.objects.only("pk", "title").order_by("pk")
    last = ""
    while batch := list(rows.filter(pk__gt=last)[:BATCH]):
        for row in batch:
            row.title_folded = _folded(row.title)
        Document.objects.bulk_update(batch, ["title_folded"])
        last = batch[-1].pk


def _folded(text):
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())


class Migration(migrations.Migration):
    dependencies = [
        ("documents", "0001_initial"),
    ]

    operations = [
        migrations.AddField(
            model_name="document",
            name="title_folded",
            field=models.TextField(blank=True, default="", editable=False),
        ),
        migrations.RunPython(fold, migrations.RunPython.noop, elidable=True),
    ]
