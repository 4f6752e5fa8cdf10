"""Scene + CLIP -> CONDITIONING, and the attention that keeps characters apart. options, plan and bias need no host."""
