"""Rehearsals: suites of synthetic callers with expectations, `ariagent rehearse`. Part of the extra ``rehearsal``."""
