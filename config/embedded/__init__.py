"""The embedded topology: everything that the full stack runs as services, inside one process and one folder."""
