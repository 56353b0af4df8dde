"""What people and machines control a running engine through: a desk, and one file for each surface on it.

A surface is a module of `rtsep.control.surfaces` with two functions: `arguments(parser)` says what `rtsep run` takes
for it, `open_surface(args)` makes it, or returns None where it was not asked for. They are found by listing the folder.
"""
