"""What is kept of calls: the journal that is written as they happen, and what can be read from it."""
