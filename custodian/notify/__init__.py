"""Telling people outside that a request waits for them, or how theirs ended."""
