"""Checkpoint files -> the host's MODEL, CLIP and VAE, with checks and plain-language errors."""
