"""What an agent can do with a language model. registry.py is the table."""
