"""Names that libraries do not promise to keep: one file a library, each looked for at import, a public way behind it."""
