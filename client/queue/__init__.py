"""`./run queue`: every prompt of some files, on one server or many, none lost and none drawn twice.

batch       files of prompts -> jobs, each with a key and a name
manifest    what became of each job: the truth, also after a crash
schedule    which job goes where, without I/O
station     where pictures are drawn: a server, or a host of our own; cluster: the same on Ray
dispatch    carries the schedule out
report      a page and a contact sheet of the pictures
command     the command line's part
"""
