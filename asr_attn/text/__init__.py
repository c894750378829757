"""Text: its form and its tokens."""
