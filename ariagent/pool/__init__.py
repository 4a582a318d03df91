"""The AI as agents in the pool: its seats, and what the queues of people look like now."""
