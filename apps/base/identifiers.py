"""Opaque ids with a readable prefix: ``file-01jd3w…``, sortable by the time they were made."""

from functools import partial

from ulid import ULID

MAX_LENGTH = 40


def new_id(prefix: str) -> str:
    """Return ``<prefix>-<ULID in lower case>``: 26 characters after the dash, 80 of the 128 bits random."""
    return f"{prefix}-{str(ULID()).lower()}"


new_organization_id = partial(new_id, "org")
new_user_id = partial(new_id, "user")
new_membership_id = partial(new_id, "member")
new_api_key_id = partial(new_id, "key")
new_invitation_id = partial(new_id, "invite")
new_knowledge_base_id = partial(new_id, "kb")
new_file_id = partial(new_id, "file")
new_copy_id = partial(new_id, "copy")
new_link_id = partial(new_id, "link")
new_agent_id = partial(new_id, "agent")
new_chain_id = partial(new_id, "chain")
new_run_id = partial(new_id, "run")
new_document_id = partial(new_id, "doc")
new_etl_id = partial(new_id, "etl")
