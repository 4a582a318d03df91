"""``ariagent check``: is it installed right? Looks at everything that a call needs, and says what to do."""
