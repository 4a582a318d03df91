"""A local Realtime (GA) server to develop and test against."""
