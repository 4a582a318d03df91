"""The AI's seats in Asterisk's queues, and the present state of the human queues."""
