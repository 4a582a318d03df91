"""The core of a call: decides what is said, and when. No Asterisk, no event loop, no clock."""
