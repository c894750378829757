"""Training in Lightning."""
