"""What scripts/bench measures; each module is one measurement or one thing that all of them need."""
