"""The contract of the platform dialect: its calls, row by row, and what it promises of them.

A test keeps a row, or a promise, by quoting it in its docstring; ``test_rows.py`` finds what nobody keeps.
"""

O, KB, F = "/orgs/{}", "/orgs/{}/knowledgebases/{}", "/orgs/{}/knowledgebases/{}/files/{}"  # noqa: E741
ETL = f"{KB}/etls/{{}}"

ROWS: dict[str, tuple[str, ...]] = {
    # Organizations
    "GET /orgs · POST /orgs": ("GET /orgs", "POST /orgs"),
    "GET/PUT/DELETE /orgs/{organizationId}": (f"GET {O}", f"PUT {O}", f"DELETE {O}"),
    "GET/POST /orgs/{id}/members, PUT/DELETE …/members/{userId}": (
        f"GET {O}/members",
        f"POST {O}/members",
        f"PUT {O}/members/{{}}",
        f"DELETE {O}/members/{{}}",
    ),
    "GET/POST /orgs/{id}/api-keys, DELETE …/api-keys/{keyId}": (
        f"GET {O}/api-keys",
        f"POST {O}/api-keys",
        f"DELETE {O}/api-keys/{{}}",
    ),
    "GET /orgs/{id}/usage": (f"GET {O}/usage",),
    "GET /orgs/{id}/audit-log": (f"GET {O}/audit-log",),
    # Knowledge bases
    "GET /orgs/{o}/knowledgebases": (f"GET {O}/knowledgebases",),
    "POST /orgs/{o}/knowledgebases": (f"POST {O}/knowledgebases",),
    "GET /orgs/{o}/knowledgebases/{kb}": (f"GET {KB}",),
    "PUT …/{kb}": (f"PUT {KB}",),
    "DELETE …/{kb}": (f"DELETE {KB}",),
    "POST …/{kb}/copy-to": (f"POST {KB}/copy-to",),
    # Files
    "GET …/{kb}/files": (f"GET {KB}/files",),
    "POST …/{kb}/files/upload-url": (f"POST {KB}/files/upload-url",),
    "PUT {uploadUrl}": (),  # wherever the object store is
    "POST …/{kb}/files/{f}/s3-ingest": (f"POST {F}/s3-ingest",),
    "GET …/{kb}/files/{f}": (f"GET {F}",),
    "DELETE …/{kb}/files/{f}": (f"DELETE {F}",),
    "POST …/{kb}/files/{f}/reindex": (f"POST {F}/reindex",),
    "POST …/{kb}/files/{f}/download-link": (f"POST {F}/download-link",),
    "POST …/{kb}/file/{f}/copy-to": (f"POST {KB}/file/{{}}/copy-to", f"POST {F}/copy-to"),
    "GET …/{kb}/files/{f}/events": (f"GET {F}/events",),
    "POST …/{kb}/search": (f"POST {KB}/search",),
    # ETLs
    "GET/POST …/{kb}/etls, GET/PUT/DELETE …/{kb}/etls/{etl}": (
        f"GET {KB}/etls",
        f"POST {KB}/etls",
        f"GET {ETL}",
        f"PUT {ETL}",
        f"DELETE {ETL}",
    ),
    "GET …/{kb}/etls/{etl}/runs and POST …/{kb}/etls/{etl}/run": (f"GET {ETL}/runs", f"POST {ETL}/run"),
    "POST …/{kb}/etls/{etl}/test": (f"POST {ETL}/test",),
    # Agents and action chains
    "GET/POST /orgs/{o}/agents, GET/PUT/DELETE …/{agentId}": (
        f"GET {O}/agents",
        f"POST {O}/agents",
        f"GET {O}/agents/{{}}",
        f"PUT {O}/agents/{{}}",
        f"DELETE {O}/agents/{{}}",
    ),
    "POST …/{agentId}/run": (f"POST {O}/agents/{{}}/run",),
    "GET/POST /orgs/{o}/action-chains, GET/PUT/DELETE …/{actionChainId}": (
        f"GET {O}/action-chains",
        f"POST {O}/action-chains",
        f"GET {O}/action-chains/{{}}",
        f"PUT {O}/action-chains/{{}}",
        f"DELETE {O}/action-chains/{{}}",
    ),
    "POST …/{actionChainId}/run": (f"POST {O}/action-chains/{{}}/run",),
    "GET /orgs/{o}/runs, GET /orgs/{o}/runs/{runId}": (f"GET {O}/runs", f"GET {O}/runs/{{}}"),
}

PROMISES = (
    # Lists
    'Lists answer {"items": […], "totalRows": n, "offset": n} unless said otherwise',
    "limit (default 20, at most 100) and cursor",
    "a value that is not a number is a 400",
    "orderBy takes a field name, - in front for descending",
    # Organizations
    "DELETE takes everything with it: files, objects, vectors, conversations",
    "the last OWNER cannot leave",
    "the secret is in the POST answer only",
    # Knowledge bases
    "A PERSONAL KB is seen by its creator (and its agent) only, and is left out of lists unless asked for",
    "isPublic: true lets any authenticated member of another organization read and search it, never change it",
    "forAgentId (get, or create on first use, the personal KB of that agent)",
    "embeddings are copied, never computed again",
    # Files
    "with the same Content-Type",
    "adds a 7-day short downloadLink",
    "the old text stays searchable until the new one is READY",
    "ERROR with a statusMessage a person can act on",
    "The declared contentType is checked against the bytes",
    'pages ("5" or "5-7", null where a format has none)',
    "similarity (cosine, 0–1)",
    "embeddingMode is TEXT by default",
    "Types: .pdf; images by OCR",
    # ETLs
    "Comparisons: EQUALS, CONTAINS, STARTS_WITH, ENDS_WITH, IS_EMPTY, IS_NOT_EMPTY",
    "joins a condition to the next one, read left to right",
    "an unknown one is a 400 when the ETL is saved",
    "once per file revision",
    "what it does to the file cannot start it again",
    # Agents and action chains
    "where a later step can use an earlier one's output",
    "a failed step stops the chain, is recorded with its error, and can be retried from there",
    # All dialects
    "Ids are opaque strings with a readable prefix",
    "the answer is 404, the same as for an id that does not exist",
    "every response carries X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset",
    "pro 20/min 200/h 2,000/day; team 60/min 600/h 5,000/day; standard 100/min; premium 500/min; enterprise 2,000/min; "
    "and local (no limit)",
    "Timestamps are RFC 3339 UTC with Z",
    "Unknown request fields are ignored; wrong types are a 400 that names the field",
    "Errors keep each dialect's own envelope, for every status: 400, 401, 403, 404, 405, 409, 413, 415, 429, 500",
)
