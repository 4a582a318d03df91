"""The synthetic caller and rehearsals: what `ariagent call` and `ariagent rehearse` need on a production machine."""
