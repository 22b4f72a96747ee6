"""Pictures, their step frames and their metadata on disk. Knows nothing of torch."""
