"""The choice of the agent for a call, and its instructions."""
