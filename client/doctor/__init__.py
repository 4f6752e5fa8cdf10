"""`./run doctor`: what is missing or wrong, and what to do about it.

machine    what this machine has, also before any set-up
server     what a running ComfyUI says about itself
findings   how both are judged
command    the command line's part
"""
