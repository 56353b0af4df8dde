"""The data plane itself: what carries samples, on the grid, without waiting."""
