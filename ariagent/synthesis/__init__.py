"""Programs that speak a text: where they are found, how they are run, how they are fetched where one asks for it."""
