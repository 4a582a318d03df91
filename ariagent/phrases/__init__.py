"""Fixed phrases that agents say word by word: rendered once, kept as files, found at once."""
