"""Callers whose service is gone and does not come back: found and sent to people, by the manager interface alone."""
