"""What accounts announce to the organizations they belong to, which they may not know."""

from django.dispatch import Signal

# Of an account something changed that its rights, or whoever can sign in to it, hang on: user, kind, payload. Sent
# inside the transaction that does it.
account_changed = Signal()
