"""Bringing a folder of a disk into a knowledge base, as often as one likes."""
