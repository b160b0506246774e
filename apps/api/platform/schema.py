"""What this dialect's OpenAPI document says besides its operations."""

from typing import Any

SETTINGS: dict[str, Any] = {
    "TITLE": "Commonplace platform API",
    "VERSION": "1",
    "DESCRIPTION": (
        "Organizations keep files in knowledge bases; files become passages that can be searched.\n\n"
        "A file comes in by three calls: ask for an **upload URL**, `PUT` the bytes to it with the same "
        "Content-Type (no token), and read the file until its `status` is `READY`. Nothing else has to be "
        "called: the PUT itself starts the ingestion.\n\n"
        "Fields of a request that are not named here are ignored; a wrong type is a 400 that names the field. "
        "Errors have one envelope, whatever the status. "
        "What belongs to another organization answers 404, the same as what does not exist.\n\n"
        "How often an organization may call is its plan's to say; `X-RateLimit-Limit`, `X-RateLimit-Remaining` and "
        "`X-RateLimit-Reset` (unix seconds) of every answer tell how its tightest window stands, and a 429 "
        "(`rate_limited`) when to come again. What it may store is the plan's to say too: beyond that, what would "
        "add to it is a 403 (`quota_exceeded`)."
    ),
    "TAGS": [
        {"name": "Organizations", "description": "Tenants, and the caller's place in them."},
        {"name": "Members", "description": "Who belongs to an organization, and in which role."},
        {"name": "Invitations", "description": "Addresses that may join."},
        {"name": "API keys", "description": "What programs sign in with: bounded, rotated, revoked."},
        {"name": "Audit log", "description": "Who did what, when, with which key and from where."},
        {"name": "Knowledge bases", "description": "Collections of files that are searched together."},
        {"name": "Files", "description": "Uploading files, and following them until they can be searched."},
        {"name": "Copies", "description": "Knowledge bases and files, copied to where else they are needed."},
        {"name": "Agents", "description": "Instructions, and what they are carried out with."},
        {"name": "Action chains", "description": "Steps that are taken one after the other."},
        {"name": "Runs", "description": "What agents and action chains did, and are doing."},
        {"name": "Documents", "description": "Texts that people and runs write, with all their versions."},
        {
            "name": "ETLs",
            "description": "What is run for a file: at the change that makes its conditions hold, once for each "
            "revision of the file, and never by its own doing.",
        },
        {"name": "Search", "description": "Passages that answer a question."},
    ],
    # Forms are for the browsable API; programs send JSON.
    "PARSER_WHITELIST": ["apps.api.common.parsers.JsonObjectParser"],
    "CAMELIZE_NAMES": True,
    "ENUM_NAME_OVERRIDES": {
        "FileStatus": "apps.knowledge.statuses.FileStatus",
        "EmbeddingMode": "apps.knowledge.statuses.EmbeddingMode",
        "Role": "apps.orgs.roles.Role",
        "Ability": "apps.orgs.roles.Ability",
        "CopyStatus": "apps.knowledge.statuses.CopyStatus",
        "RunStatus": "apps.agents.statuses.RunStatus",
        "StepStatus": "apps.agents.statuses.StepStatus",
        "EtlType": "apps.etl.models.EtlType",
        "EtlComparison": "apps.etl.conditions.Comparison",
        "EtlMergeOperator": "apps.etl.conditions.MergeOperator",
        "KnowledgeBaseType": "apps.knowledge.statuses.KnowledgeBaseType",
    },
}
