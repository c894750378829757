"""Lists of utterances as other programs keep them, read and written."""
