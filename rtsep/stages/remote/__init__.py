"""A stage whose work is done by another process, and what is on this side of it; the other side is `rtsep.workers`.

Workers import `job` from here, and nothing that is compiled for stages: they have to be ready soon.
"""
