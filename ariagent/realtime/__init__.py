"""The Realtime peer: the speech-to-speech model."""
