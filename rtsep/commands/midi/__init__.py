"""MIDI devices: which there are, and which of their controls turns what."""
