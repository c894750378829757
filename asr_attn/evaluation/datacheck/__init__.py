"""What makes training fail or figures lie: a check of manifests and of the sound they name."""
