"""The commands, by whom they serve."""
