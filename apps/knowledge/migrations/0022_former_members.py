"""Who left before this was noted, and has personal knowledge bases where they are no member any more."""

from django.db import migrations


def note_former_members(apps, schema_editor):
    memberships = set(apps.get_model("orgs", "Membership").objects.values_list("organization_id", "user_id"))
    bases = apps.get_model("knowledge", "KnowledgeBase").objects.filter(type="PERSONAL").exclude(creator=None)
    former = apps.get_model("orgs", "FormerMember").objects
    for organization_id, user_id in set(bases.values_list("organization_id", "creator_id")) - memberships:
        former.get_or_create(organization_id=organization_id, user_id=user_id)


class Migration(migrations.Migration):
    dependencies = [("knowledge", "0021_link_key"), ("orgs", "0011_former_members")]
    operations = [migrations.RunPython(note_former_members, migrations.RunPython.noop)]
