"""The records of calls: the journal that is written as they happen, and its readers."""
