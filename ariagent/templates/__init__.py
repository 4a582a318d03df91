"""Agents to start from: each folder holds ``agent.yaml`` (settings) and ``rehearsals`` for ``ariagent rehearse``."""
