"""The instantaneous mode: bleed whose paths are one number each."""
