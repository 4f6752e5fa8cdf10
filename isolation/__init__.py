"""Scene + CLIP -> CONDITIONING, and the attention that keeps characters apart. rules.py and plan.py need no host."""
