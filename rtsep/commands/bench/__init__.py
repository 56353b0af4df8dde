"""Tables of measured quality."""
