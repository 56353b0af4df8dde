"""MIDI: bytes become events, events turn the desk by a mapping that people write or teach, changes go back as bytes.

`parse` knows MIDI and nothing of rtsep, `mapping` reads the file, `turning` holds a mapping against a desk, `curves`
says where a control stands for a value. `ports` is a process of its own that owns the system's MIDI; `carrier` is who
talks to it. `learn` watches a control that is moved and writes the mapping. The surface puts them together.
"""
