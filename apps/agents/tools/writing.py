"""Tools that change something: the run's own file, and documents; only while the run is this worker's."""

from typing import Any

from apps.agents.actions.attributes import Metadata, Tags, add_tags, set_metadata
from apps.agents.actions.create_document import DocumentText, write
from apps.agents.tools.contracts import Tool, Toolbox
from apps.orgs.roles import Ability


class SetFileMetadata(Tool[Metadata]):
    """Set metadata of the file this run is about."""

    name = "set_metadata"
    arguments = Metadata

    def use(self, arguments: Metadata, toolbox: Toolbox) -> dict[str, Any]:
        context = toolbox.context
        context.principal.require(Ability.FILES_WRITE)
        with context.changing():
            return {"metadata": set_metadata(context.file(), arguments.metadata)}


class AddFileTags(Tool[Tags]):
    """Add tags to the file this run is about."""

    name = "add_tags"
    arguments = Tags

    def use(self, arguments: Tags, toolbox: Toolbox) -> dict[str, Any]:
        context = toolbox.context
        context.principal.require(Ability.FILES_WRITE)
        with context.changing():
            return {"tags": add_tags(context.file(), arguments.tags)}


class WriteDocument(Tool[DocumentText]):
    """Write a document in Markdown, for people to read."""

    name = "create_document"
    arguments = DocumentText

    def use(self, arguments: DocumentText, toolbox: Toolbox) -> dict[str, Any]:
        context = toolbox.context
        toolbox.documents += 1
        key = f"{context.step_key}:{toolbox.documents}"
        with context.changing():
            made = write(arguments, context, key=key)
        toolbox.made.append(made)
        return made
