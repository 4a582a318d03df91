"""The AudioSocket peer: one TCP connection per media leg, opened by Asterisk."""
