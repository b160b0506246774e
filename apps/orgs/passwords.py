"""Forgotten passwords: whoever reads an account's mail may set a new one, once."""

import hashlib
import logging
from urllib.parse import urljoin

from django.conf import settings
from django.contrib.auth.tokens import default_token_generator
from django.core.mail import send_mail
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from apps.orgs.members import find_account
from apps.orgs.rate_limits import DAY, MINUTE, RateLimited, Window, require_room

logger = logging.getLogger(__name__)
RESET_PATH = "/password/reset/"
TO_ADDRESS = (Window(1, MINUTE), Window(5, DAY))  # each is an e-mail that perhaps somebody else asked for


def send_reset(email: str) -> None:
    """Send the account of this address a link that sets its password; nothing where there is none that could sign in
    by one. Whoever asked is told neither: this runs where nobody waits for it.

    The link works for PASSWORD_RESET_TIMEOUT seconds, until the password changes or somebody signs in.
    """
    user = find_account(email)
    if user is None or not user.is_active or not user.has_usable_password():
        return
    try:
        require_room(f"password-resets:to:{hashlib.sha256(user.email.encode()).hexdigest()}", *TO_ADDRESS)
    except RateLimited:
        return  # the link that was sent before is good still
    uid = urlsafe_base64_encode(force_bytes(user.pk))
    link = urljoin(settings.PUBLIC_URL, f"{RESET_PATH}{uid}/{default_token_generator.make_token(user)}/")
    text = (
        f"Somebody asked for a new password for {user.email}. To set one:\n\n{link}\n\n"
        f"The link works once, for {settings.PASSWORD_RESET_TIMEOUT // 60} minutes. "
        "If it was not you, ignore it: nothing has changed.\n"
    )
    try:
        send_mail("Set a new password", text, None, [user.email])
    except OSError:  # SMTP's own errors among them
        logger.exception("The link to set a new password could not be sent. It can be asked for again.")
