"""OSC: which addresses there are, what datagrams mean, and who is told of what has changed."""
