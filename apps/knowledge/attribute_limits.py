"""How much people may say of a file in tags and metadata."""

MAX_TAGS, MAX_TAG_CHARS = 50, 100
MAX_METADATA_KEYS, MAX_METADATA_KEY_CHARS, MAX_METADATA_VALUE_CHARS = 50, 100, 1000
