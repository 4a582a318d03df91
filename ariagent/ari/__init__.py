"""The ARI peer: Asterisk's REST interface and its event stream."""
