"""What people and machines control a running engine through: a desk, and one file for each surface on it."""
