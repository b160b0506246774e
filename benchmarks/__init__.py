"""Measurements of the running product, each beside a bare peer in the same run.

Every module is a program: `python -m benchmarks.ingest`, `.search`, `.footprint`. They start a server of their own
on a temporary folder, talk to it over HTTP, and print a table. docs/benchmarks.md keeps what was measured.
"""
