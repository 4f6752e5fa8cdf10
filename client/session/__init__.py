"""`./run create`: prompt after prompt, at a terminal or from a pipe.

lines      which lines make one prompt, and how they are read
verdict    what the pack's reader says to a prompt, before a host is asked
session    what is kept between two prompts, and how one is drawn
colon      the commands behind a colon
inline     pictures in the terminal itself
command    the command line's part
"""
