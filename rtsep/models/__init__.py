"""Trained models: what a file says of itself, how an untrusted one is opened, and what runs it. Nobody trains here."""
