"""Seeds: files of personas and dialogues, read as a stream, kept as arrays."""
