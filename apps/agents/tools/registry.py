"""The tools an agent may be given. A new one is a class and a row here."""

from functools import cache
from typing import Any

from django.utils.module_loading import import_string

from apps.agents.tools.contracts import Tool

TOOLS = {
    "search_knowledge": "apps.agents.tools.reading.SearchKnowledge",
    "read_file": "apps.agents.tools.reading.ReadFile",
    "set_metadata": "apps.agents.tools.writing.SetFileMetadata",
    "add_tags": "apps.agents.tools.writing.AddFileTags",
    "create_document": "apps.agents.tools.writing.WriteDocument",
}


@cache
def tool(name: str) -> Tool[Any]:
    """Raises KeyError for a name that is not in the table."""
    made: Tool[Any] = import_string(TOOLS[name])()
    return made
