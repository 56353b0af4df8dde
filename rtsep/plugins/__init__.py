"""Plug-ins of others, hosted with pedalboard: what there is, what it is like, and one mic's chain of them.

Nothing here needs the engine. `slots` and `builtins` are light: presets may ask them. `finding` and `probing` look
at files without loading them into the process that asks. `chain` is for the process that works, and loads pedalboard.
"""
