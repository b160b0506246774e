"""A serializer that is quick to make, for what is asked for most often."""

from typing import Any

from rest_framework import serializers


class QuickSerializer(serializers.Serializer):
    # No docstring: the OpenAPI document would show it for every serializer that has none of its own.
    # Its fields are those it was declared with. DRF makes each anew for every serializer, from its arguments, which
    # takes longer than using them (docs/decisions/http-latency.md); these are copies, and share what they were made
    # with: no field's limits, choices or validators may be changed where it is used.

    def get_fields(self) -> dict[str, serializers.Field]:
        return {name: _copy(field) for name, field in self._declared_fields.items()}


def _copy(field: serializers.Field) -> serializers.Field:
    """Of its own: the place it is bound to, and a list's child."""
    kind = field.__class__
    own: Any = kind.__new__(kind)
    own.__dict__.update(field.__dict__)
    own.__dict__.pop("fields", None)  # of a serializer, bound to the one they were made for
    if (child := getattr(own, "child", None)) is not None:
        own.child = _copy(child)
        own.child.parent = own
    return own
