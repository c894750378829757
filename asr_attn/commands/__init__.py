"""What the commands of ``asr-attn`` do."""
