"""Faults of a night on stage, injected into `rtsep run` from the outside, and what is heard of each.

`player` is the device: microphones and ears in one JACK client. `hearing` finds silence, repeats and peaks in what it
heard. `program` is the run under test, of this or another checkout. `trial` puts them on a server of their own;
`processes`, `servers`, `terminals` and `material` say what goes wrong; `verdicts` sums up and holds the limits.
"""
