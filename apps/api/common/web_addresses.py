"""Addresses that people click on."""

import re

from django.core.validators import URLValidator
from django.utils.regex_helper import _lazy_re_compile

WEB_SCHEMES = ("http", "https")


class WebAddress(URLValidator):
    """``http`` and ``https`` alone: ``javascript:`` is none. Django's own knows ``localhost`` for the only host without
    a dot; those of an intranet have none either."""

    schemes = list(WEB_SCHEMES)
    message = "A web address is expected, such as https://example.com/handbook.pdf."
    regex = _lazy_re_compile(
        r"^(?:[a-z]+)://"
        r"(?:[^\s:@/]+(?::[^\s:@/]*)?@)?"  # user and password
        rf"(?:{URLValidator.ipv4_re}|{URLValidator.ipv6_re}|{URLValidator.host_re}|{URLValidator.hostname_re})"
        r"(?::[0-9]{1,5})?"
        r"(?:[/?#][^\s]*)?\Z",
        re.IGNORECASE,
    )
