"""Names cross the API's border in camelCase."""


def camel_case(name: str) -> str:
    """``"file_name"`` → ``"fileName"``; a name already in camelCase stays as it is."""
    first, *rest = name.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)
