"""Copies of files and knowledge bases, inside the store and the index: nothing is read or embedded again."""
