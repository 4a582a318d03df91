"""Seeing and steering the calls from outside."""
