"""Search: from memory to token sequences."""
