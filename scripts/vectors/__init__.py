"""What scripts/make-vectors writes, a module for each format."""
