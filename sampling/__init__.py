"""Guidance, eta, shift and decoding over the host's own samplers and VAE."""
