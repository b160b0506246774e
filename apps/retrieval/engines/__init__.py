"""Vector engines. Nothing outside apps.retrieval imports them."""
