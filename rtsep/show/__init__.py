"""The show: a folder with a preset, its microphones, and snapshots of what stands on the desk, to be recalled.

What a console calls a scene users know as a snapshot; in code it is a `Cue`, as `snapshot` is all that runs in a stage.
"""
