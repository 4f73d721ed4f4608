"""Threshold custody: a key that opens only while a quorum of its owners has lent it."""
