"""What is told of something that is gone."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers


def deleted_serializer(
    name: str, message: str, of: dict[str, Any], id_name: str, *, help_text: str = ""
) -> type[serializers.Serializer]:
    """The output serializer of ``{"message", <id_name>}``; ``of`` is an example of the thing, which has that id."""
    told = {"message": message, id_name: of[id_name]}
    serializer: type[serializers.Serializer] = type(
        f"{name}Serializer",
        (serializers.Serializer,),
        {
            "message": serializers.CharField(help_text=help_text or message),
            id_name: serializers.CharField(source="pk"),
        },
    )
    tell = extend_schema_serializer(examples=[OpenApiExample("It is gone", value=told, response_only=True)])
    told_serializer: type[serializers.Serializer] = tell(serializer)
    return told_serializer
