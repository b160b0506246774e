"""Tools that look: nothing that the run may not read, and nothing outside the agent's knowledge bases."""

from typing import Any

from django.conf import settings
from pydantic import BaseModel, Field

from apps.agents.tools.contracts import Tool, Toolbox
from apps.base.errors import NotFound
from apps.knowledge.models import File
from apps.knowledge.reading import read_file
from apps.knowledge.search import search
from apps.orgs.roles import Ability

MAX_RESULTS = 20


class Query(BaseModel):
    query: str = Field(min_length=1, max_length=2000)
    limit: int = Field(default=8, ge=1, le=MAX_RESULTS)


class Stretch(BaseModel):
    file_id: str = Field(default="", max_length=40, description="Left out: the file this run is about.")
    start: int = Field(default=0, ge=0, description="The character to start at, to read on.")


class SearchKnowledge(Tool[Query]):
    """Find passages in the knowledge bases, by meaning and by words. Cite file names and pages."""

    name = "search_knowledge"
    arguments = Query

    def use(self, arguments: Query, toolbox: Toolbox) -> list[dict[str, Any]]:
        toolbox.context.principal.require(Ability.KB_SEARCH)
        for knowledge_base in toolbox.knowledge_bases:
            toolbox.context.note_reading(knowledge_base)
        found = search(toolbox.knowledge_bases, arguments.query, limit=arguments.limit)
        return [
            {
                "fileId": one.file.id,
                "fileName": one.file.file_name,
                "pages": one.pages,
                "text": one.passage.chunk.text,
            }
            for one in found
        ]


class ReadFile(Tool[Stretch]):
    """Read the text of a file, a stretch at a time."""

    name = "read_file"
    arguments = Stretch

    def use(self, arguments: Stretch, toolbox: Toolbox) -> dict[str, Any]:
        file = readable_file(arguments.file_id, toolbox)
        room = settings.LLM_CONTEXT_CHARS
        text = read_file(file).text(start=arguments.start, max_chars=room)
        is_more = len(text) == room
        return {
            "fileId": file.pk,
            "fileName": file.file_name,
            "text": text,
            "nextStart": arguments.start + room if is_more else None,
        }


def readable_file(file_id: str, toolbox: Toolbox) -> File:
    """The run's own, or one in the agent's knowledge bases. Raises NotFound, Conflict, PermissionDenied."""
    context = toolbox.context
    context.principal.require(Ability.FILES_READ)
    if not file_id or file_id == context.run.file_id:
        file = context.file()
    else:
        file = context.principal.file(file_id)
        if file.knowledge_base_id not in {base.pk for base in toolbox.knowledge_bases}:
            raise NotFound(f"There is no file {file_id}.")
    context.note_reading(file.knowledge_base)
    return file
