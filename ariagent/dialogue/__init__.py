"""What is said in a call, and when: the core. No Asterisk, no event loop, no clock."""
