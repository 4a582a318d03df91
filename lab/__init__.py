"""A rootless Asterisk, synthetic callers, a small SIP phone and the demo."""
