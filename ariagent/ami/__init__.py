"""Asterisk's manager interface (AMI): queues, members and transfers."""
