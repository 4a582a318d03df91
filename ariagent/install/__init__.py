"""``ariagent install`` and ``uninstall``: beside an Asterisk that has a configuration of its own."""
