"""What each role may do. One table; every permission check, every key's scopes and docs/permissions.md read it."""

from django.db import models


class Role(models.TextChoices):
    """From the most to the least."""

    OWNER = "OWNER"
    ADMIN = "ADMIN"
    EDITOR = "EDITOR"
    VIEWER = "VIEWER"


class Ability(models.TextChoices):
    """A verb: what a caller may do in an organization. API keys carry some of these as their scopes."""

    ORG_READ = "org.read", "read the organization and its usage"
    ORG_LEAVE = "org.leave", "leave the organization"
    MEMBERS_READ = "members.read", "list the members"
    KEYS_OWN = "keys.own", "make, rotate and revoke one's own API keys"
    KB_READ = "kb.read", "list and read knowledge bases"
    KB_SEARCH = "kb.search", "search knowledge bases"
    FILES_READ = "files.read", "list, read and download files"
    AGENTS_READ = "agents.read", "read agents, action chains and what their runs did"
    DOCUMENTS_READ = "documents.read", "read documents and their versions"
    ETLS_READ = "etls.read", "read ETLs and their runs, and try their conditions"
    KB_CREATE = "kb.create", "make knowledge bases"
    KB_MANAGE = "kb.manage", "change and delete knowledge bases"
    KB_PUBLISH = "kb.publish", "open knowledge bases to members of other organizations, and close them"
    FILES_WRITE = "files.write", "upload, change, reindex and delete files"
    AGENTS_MANAGE = "agents.manage", "make, change and delete agents and action chains"
    AGENTS_RUN = "agents.run", "run agents and action chains, retry and cancel runs"
    DOCUMENTS_WRITE = "documents.write", "write, change and delete documents"
    ETLS_MANAGE = "etls.manage", "make, change, delete and run ETLs"
    ORG_MANAGE = "org.manage", "change the organization; as a key's scope also: make new ones"
    MEMBERS_MANAGE = "members.manage", "invite, add and remove members, and change their roles"
    KEYS_MANAGE = "keys.manage", "see and revoke everybody's API keys"
    AUDIT_READ = "audit.read", "read and export the audit log"
    OWNERS_MANAGE = "owners.manage", "make and remove OWNERs, transfer the organization"
    MEMBERS_FORGET = "members.forget", "see how much former members left of their own, and delete it"
    ORG_DELETE = "org.delete", "delete the organization with all it has"


ABILITY_NAMED: dict[str, Ability] = {str(ability): ability for ability in Ability}

LEAST_ROLE: dict[Ability, Role] = {
    Ability.ORG_READ: Role.VIEWER,
    Ability.ORG_LEAVE: Role.VIEWER,
    Ability.MEMBERS_READ: Role.VIEWER,
    Ability.KEYS_OWN: Role.VIEWER,
    Ability.KB_READ: Role.VIEWER,
    Ability.KB_SEARCH: Role.VIEWER,
    Ability.FILES_READ: Role.VIEWER,
    Ability.AGENTS_READ: Role.VIEWER,
    Ability.DOCUMENTS_READ: Role.VIEWER,
    Ability.ETLS_READ: Role.VIEWER,
    Ability.KB_CREATE: Role.EDITOR,
    Ability.KB_MANAGE: Role.EDITOR,
    Ability.FILES_WRITE: Role.EDITOR,
    Ability.AGENTS_MANAGE: Role.EDITOR,
    Ability.AGENTS_RUN: Role.EDITOR,
    Ability.DOCUMENTS_WRITE: Role.EDITOR,
    Ability.ETLS_MANAGE: Role.EDITOR,
    Ability.KB_PUBLISH: Role.ADMIN,
    Ability.ORG_MANAGE: Role.ADMIN,
    Ability.MEMBERS_MANAGE: Role.ADMIN,
    Ability.KEYS_MANAGE: Role.ADMIN,
    Ability.AUDIT_READ: Role.ADMIN,
    Ability.OWNERS_MANAGE: Role.OWNER,
    Ability.MEMBERS_FORGET: Role.OWNER,
    Ability.ORG_DELETE: Role.OWNER,
}
_RANKS = {role: rank for rank, role in enumerate(Role)}

ABILITIES: dict[Role, frozenset[Ability]] = {
    role: frozenset(ability for ability, least in LEAST_ROLE.items() if _RANKS[role] <= _RANKS[least])
    for role in Role
}

# All that a key bound to some knowledge bases can carry: everything else reaches beyond them.
KNOWLEDGE_BASE_ABILITIES = frozenset(
    {Ability.KB_READ, Ability.KB_SEARCH, Ability.KB_MANAGE, Ability.FILES_READ, Ability.FILES_WRITE}
)
# What a key has only if it is named: whoever found it in a script could end the organization, or make it theirs.
NAMED_ONLY = frozenset({Ability.ORG_DELETE, Ability.OWNERS_MANAGE, Ability.MEMBERS_MANAGE})
DEFAULT_SCOPES = frozenset(Ability) - NAMED_ONLY
# What members of other organizations may do in a public knowledge base.
GUEST_ABILITIES = KNOWLEDGE_BASE_ABILITIES & ABILITIES[Role.VIEWER]
