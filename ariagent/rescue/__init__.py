"""Rescue of callers whose service is dead: finds them and sends them to the human queue, through AMI alone."""
