"""The service: composition, signals, drain, health, and the event loop delay."""
