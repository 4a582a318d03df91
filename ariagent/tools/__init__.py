"""Functions that a site gives its agents: HTTP requests, Python entry points, MCP servers."""
