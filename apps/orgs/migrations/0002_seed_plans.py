from django.db import migrations

# name: requests per minute, hour, day; None is no limit
PLANS = {
    "local": (None, None, None),
    "pro": (20, 200, 2000),
    "team": (60, 600, 5000),
    "standard": (100, None, None),
    "premium": (500, None, None),
    "enterprise": (2000, None, None),
}


def seed(apps, schema_editor):
    Plan = apps.get_model("orgs", "Plan")
    for name, (per_minute, per_hour, per_day) in PLANS.items():
        Plan.objects.get_or_create(
            name=name,
            defaults={
                "requests_per_minute": per_minute,
                "requests_per_hour": per_hour,
                "requests_per_day": per_day,
            },
        )


class Migration(migrations.Migration):
    dependencies = [("orgs", "0001_initial")]
    operations = [migrations.RunPython(seed, migrations.RunPython.noop)]
