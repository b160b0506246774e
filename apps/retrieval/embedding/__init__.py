"""Dense embeddings: a registry of models, and three ways to run each."""
