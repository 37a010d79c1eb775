"""Ways in and out: codecs (events ⇄ one wire dialect, pure) and pipes (bytes, no meaning)."""
