"""What organizations announce to apps they may not know. Sent inside the transaction that does it."""

from django.dispatch import Signal

organization_created = Signal()  # organization, creator
organization_deleting = Signal()  # organization
