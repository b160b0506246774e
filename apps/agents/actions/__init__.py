"""What steps of a chain can do. One module each; registry.py is the table."""
