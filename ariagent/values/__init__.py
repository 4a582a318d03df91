"""Values of settings and tool calls: placeholders, URLs, addresses, arguments, languages. Knows no settings; no I/O."""
