"""Dense embeddings: one model, two ways to run it."""
