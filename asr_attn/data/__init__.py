"""Data sets: manifests, batches, and the synthetic digits."""
