"""What people elsewhere would write, from the documentation alone."""
