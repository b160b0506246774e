"""Switching a knowledge base to another embedding model, while it is searched and written to.

Each file's live revision gets vectors of the new model beside those of the old one; when every file has them, one
transaction switches the knowledge base over, and the old ones are purged after a grace (docs/decisions/reembedding.md).
"""
